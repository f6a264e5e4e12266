"""The project's objects as a scanner of manifests understands them: each pod template becomes a plain Pod.

A scanner looks for pods in Deployments and Jobs, but not in TFJobs, workflows and serving runtimes.
"""

import re
from pathlib import Path
from typing import Any

import yaml
from environment import ROOT, ScanError

Object = dict[str, Any]
NAMESPACE = "kubeflow"
# Kinds that a scanner reads as they are.
PLAIN = {"Pod", "Job", "Service", "Role", "RoleBinding", "ServiceAccount", "NetworkPolicy", "ConfigMap"}
# Kinds without a pod or a right of their own. A Deployment is whole or, without a selector, a patch of a remote base.
WITHOUT = {
    *("Component", "CronWorkflow", "Deployment", "Kustomization", "Namespace", "PersistentVolumeClaim", "PodMonitor"),
    *("PrometheusRule", "ServingRuntime"),
}
RUNTIME = "manifests/serving/serving-runtime.yaml"
NOT_OF_A_POD = {"model", "minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "deploymentStrategy", "timeout"}
# What a workflow's pod gets from the workflow unless its template says otherwise.
INHERITED = ("securityContext", "automountServiceAccountToken", "serviceAccountName", "volumes")


def objects(root: Path = ROOT) -> list[Object]:
    """Return the objects to scan, of every YAML file at the top of the project and in manifests/."""
    files = sorted([*root.glob("[!.]*.yaml"), *root.glob("manifests/**/*.yaml")])
    found = [
        each for path in files for document in yaml.safe_load_all(path.read_text()) for each in scanned(document, root)
    ]
    unique: dict[str, Object] = {}
    for each in found:  # workflow-template.yaml repeats workflow.yaml
        unique.setdefault(f"{each['kind']}/{each['metadata']['name']}/{each}", each)
    return list(unique.values())


def scanned(document: Object | None, root: Path = ROOT) -> list[Object]:
    """Return a document as plain objects; none for an object without pods or permissions, such as a claim.

    Raises:
        ScanError: nothing here knows whether such an object has pods.
    """
    if not document:
        return []
    kind, metadata, spec = document["kind"], document.get("metadata", {}), document.get("spec", {})
    name = metadata.get("name") or metadata.get("generateName", "").rstrip("-")
    if kind in PLAIN or (kind == "Deployment" and "selector" in spec):
        return [document | {"metadata": {**metadata, "namespace": NAMESPACE}}]
    if kind == "TFJob":
        templates = [each["template"] for each in spec["tfReplicaSpecs"].values()]
        return [pod(name, each["spec"], each.get("metadata", {}).get("labels")) for each in templates]
    if kind in ("Workflow", "WorkflowTemplate"):
        return [each for template in spec["templates"] for each in step(spec, template, root)]
    if kind == "InferenceService" and "runtime" in spec["predictor"]["model"]:
        runtime = yaml.safe_load((root / RUNTIME).read_text())
        return [pod(f"predictor-{name}", predictor_spec(runtime, spec["predictor"]))]
    if kind in WITHOUT:
        return []
    raise ScanError(f"cannot scan {kind}/{name}: teach security/pods.py its pods, or add its kind to WITHOUT")


def predictor_spec(runtime: Object, predictor: Object) -> Object:
    """Return the pod spec that KServe makes of the runtime's and the service's, without what is KServe's own."""
    fields = {key: value for key, value in predictor.items() if key not in NOT_OF_A_POD}
    spec = {key: value for key, value in runtime["spec"].items() if key in ("containers", "volumes")} | fields
    model = {key: value for key, value in predictor["model"].items() if key in ("resources", "securityContext", "args")}
    return spec | {"containers": [spec["containers"][0] | model]}


def pod(name: str, spec: Object, labels: dict[str, str] | None = None) -> Object:
    """Return a Pod in the pipeline's namespace."""
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels or {}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def step(workflow: Object, template: Object, root: Path) -> list[Object]:
    """Return the Pod of a workflow's template, and those of the object that the template creates."""
    name = f"step-{template['name']}"
    found = []
    manifest = template.get("resource", {}).get("manifest")
    if manifest and template["resource"].get("action") in ("create", "apply"):
        document = yaml.safe_load(filled_in(workflow, manifest))
        document["metadata"]["name"] = f"{name}-object"
        found += scanned(document, root)
    if "container" in template:
        defaults = workflow.get("templateDefaults", {}).get("container", {})
        spec = {key: template.get(key, workflow.get(key)) for key in INHERITED if key in {**workflow, **template}}
        # The template's own volumes are added to the workflow's.
        spec["volumes"] = [*workflow.get("volumes", []), *template.get("volumes", [])]
        container = {"name": "main", **defaults, **template["container"]}
        spec["containers"] = [container | {"image": filled_in(workflow, container["image"])}]
        labels = {**workflow.get("podMetadata", {}).get("labels", {}), **template.get("metadata", {}).get("labels", {})}
        found.append(pod(name, spec, labels))
    return found


def filled_in(workflow: Object, text: str) -> str:
    """Return a text with the workflow's default image and with 1 for each of Argo's other expressions."""
    (image,) = (each["value"] for each in workflow["arguments"]["parameters"] if each["name"] == "image")
    return re.sub(r"\{\{.*?\}\}", "1", re.sub(r"\{\{[^}]*parameters\.image[^}]*\}\}", image, text))
