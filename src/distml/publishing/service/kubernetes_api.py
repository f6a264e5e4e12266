"""The configuration of the Kubernetes client."""

import os

from kubernetes import config

from distml.step import outcome


def configure() -> None:
    """Configure the client by the pod or by KUBECONFIG.

    Raises:
        StepError: there is no cluster.
    """
    in_pod = "KUBERNETES_SERVICE_HOST" in os.environ
    try:
        if in_pod:
            config.load_incluster_config()
        else:
            config.load_kube_config()
    except config.ConfigException as error:
        reason = str(error).rstrip(".")
        if in_pod:
            raise outcome.StepError(
                f"no cluster: this pod has no token of a service account ({reason}); run this in a pod with such an"
                " account, as those of workflow.yaml's steps"
            ) from None
        raise outcome.StepError(f"no cluster: {reason}; run this in a pod, or set KUBECONFIG") from None
