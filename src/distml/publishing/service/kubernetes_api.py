"""The configuration of the Kubernetes client."""

import os

from kubernetes import config

from distml.step import outcome


def configure() -> None:
    """Configure the client by the pod or by KUBECONFIG.

    Raises:
        StepError: there is no cluster.
    """
    try:
        if "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config()
        else:
            config.load_kube_config()
    except config.ConfigException as error:
        raise outcome.StepError(f"no cluster: {error}; run this in a pod, or set KUBECONFIG") from None
