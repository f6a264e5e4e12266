"""Every pod of the project before it exists: its labels, also those that controllers add, and its spec."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from cluster import templates
from cluster.kserve_stand_in import predictor_objects
from support.yaml_files import documents, load, pod_spec

NAMESPACE = "kubeflow"
RUN = "distml-example"
# The labels of the controllers' pods and the numbers of their named ports, from remote bases;
# tests/cluster/test_install.py compares them with the installation.
CONTROLLERS: dict[str, tuple[dict[str, str], dict[str, int]]] = {
    "training-operator": ({"control-plane": "kubeflow-training-operator"}, {"webhook-server": 9443}),
    "workflow-controller": ({"app": "workflow-controller"}, {"metrics": 9090}),
}
# Fills the placeholders that a template takes from another one.
EXAMPLE = {
    "workflow.name": RUN,
    "inputs.parameters.model": "plain",
    "inputs.parameters.seed": "1",
    "inputs.parameters.since": "2026-01-01T00:00:00Z",
    "inputs.parameters.version": "1",
}


@dataclass(frozen=True)
class PodTemplate:
    """A pod: `name` is unique here, `kind` the kind of the object that leads to it; `spec` is a PodSpec."""

    name: str
    kind: str
    namespace: str
    labels: dict[str, str]
    spec: dict[str, Any]


def pod_templates() -> list[PodTemplate]:
    """Return every pod template of the project; a controller's spec has only its named ports."""
    return [*steps(), *tfjob_workers(), indexed_job(), predictor(), *helper_pods(), *controllers()]


def steps() -> Iterator[PodTemplate]:
    """Yield the pod of each container and resource template of workflow.yaml with the containers that Argo adds."""
    common = templates.SPEC["podMetadata"]["labels"]
    for name, template in templates.TEMPLATES.items():
        if "container" in template or "resource" in template:
            own = template.get("metadata", {}).get("labels", {})
            added = {"workflows.argoproj.io/workflow": RUN, "workflows.argoproj.io/completed": "false"}
            spec = step_spec(name) if "container" in template else resource_spec(name)
            yield PodTemplate(f"step {name}", "Workflow", NAMESPACE, common | own | added, spec)


def step_spec(name: str) -> dict[str, Any]:
    spec = templates.pod(name, name, EXAMPLE)["spec"]
    return {**spec, "initContainers": [executor("init")], "containers": [executor("wait"), *spec["containers"]]}


def resource_spec(name: str) -> dict[str, Any]:
    """Build the pod of a resource template: Argo's executor is its only container, calls kubectl and reports itself."""
    return {
        "restartPolicy": "Never",
        "serviceAccountName": templates.TEMPLATES[name]["serviceAccountName"],
        "securityContext": templates.SPEC["securityContext"],
        "initContainers": [executor("init")],
        "containers": [executor("main")],
    }


def executor(name: str) -> dict[str, Any]:
    """Build a container of Argo's executor from the controller's settings."""
    settings = load("manifests/argo-workflows/workflow-controller-configmap.yaml")["data"]["executor"]
    (controller,) = pod_spec("manifests/argo-workflows/workflow-controller-deployment.yaml")["containers"]
    (image,) = (one for one in controller["args"] if one.startswith("--executor-image="))
    return {"name": name, "image": image.partition("=")[2], **yaml.safe_load(settings)}


def tfjob_workers() -> Iterator[PodTemplate]:
    """Yield the first workers of the step `tfjob` and of multi-worker-tfjob.yaml with the operator's labels."""
    of_step = templates.manifest("tfjob", EXAMPLE)
    of_step["metadata"]["name"] = of_step["metadata"]["generateName"] + "abcde"
    for name, job in (("worker of a workflow", of_step), ("worker of the TFJob", load("multi-worker-tfjob.yaml"))):
        worker = job["spec"]["tfReplicaSpecs"]["Worker"]["template"]
        added = {
            "training.kubeflow.org/job-name": job["metadata"]["name"],
            "training.kubeflow.org/job-role": "master",  # of worker 0 alone
            "training.kubeflow.org/operator-name": "tfjob-controller",
            "training.kubeflow.org/replica-index": "0",
            "training.kubeflow.org/replica-type": "worker",
        }
        yield PodTemplate(name, "TFJob", NAMESPACE, worker["metadata"]["labels"] | added, worker["spec"])


def indexed_job() -> PodTemplate:
    (job,) = (one for one in documents("multi-worker-job.yaml") if one["kind"] == "Job")
    name, pod = job["metadata"]["name"], job["spec"]["template"]
    added = {
        "batch.kubernetes.io/job-name": name,
        "batch.kubernetes.io/job-completion-index": "0",
        "job-name": name,
    }
    labels = pod.get("metadata", {}).get("labels", {}) | added
    return PodTemplate("worker of the Indexed Job", "Job", NAMESPACE, labels, pod["spec"])


def predictor() -> PodTemplate:
    runtime = load("manifests/serving/serving-runtime.yaml")
    deployment, _ = predictor_objects(load("inference-service.yaml"), runtime)
    pod = deployment["spec"]["template"]
    return PodTemplate("predictor", "InferenceService", NAMESPACE, pod["metadata"]["labels"], pod["spec"])


def helper_pods() -> Iterator[PodTemplate]:
    for name in ("access-model", "predict-service", "tensorboard"):
        pod = load(f"{name}.yaml")
        yield PodTemplate(name, "Pod", NAMESPACE, pod["metadata"]["labels"], pod["spec"])


def controllers() -> Iterator[PodTemplate]:
    for name, (labels, named) in CONTROLLERS.items():
        ports = [{"name": port, "containerPort": number} for port, number in named.items()]
        yield PodTemplate(name, "Deployment", NAMESPACE, labels, {"containers": [{"name": name, "ports": ports}]})
