"""A stand-in for KServe's controller, with only what a workflow needs, for clusters that cannot run the real one.

For each InferenceService in one namespace it maintains the status and the predictor's Deployment and Service. It builds
both from the ServingRuntime that the InferenceService names. Both are deleted with the InferenceService, their owner.
"""

import json
import threading
from copy import deepcopy
from typing import Any

from kubernetes import client

GROUP = "serving.kserve.io"
MANAGER = "kserve-stand-in"
MODELS = "/mnt/models"
# Options of the predictor with which a test waits seconds for the end of a trial.
SHORT_TRIAL = ["--shadow-seconds=2", "--probation-seconds=3"]
SECONDS = 1.0


def predictor_pod(service: dict[str, Any], runtime: dict[str, Any]) -> dict[str, Any]:
    """Build the spec of a predictor's pod: the runtime's, overridden by the InferenceService's."""
    predictor = deepcopy(service["spec"]["predictor"])
    model = predictor.pop("model")
    for scaling in ("minReplicas", "maxReplicas", "scaleMetric", "scaleTarget"):
        predictor.pop(scaling, None)
    name = service["metadata"]["name"]
    (container,) = deepcopy(runtime["spec"]["containers"])
    container["args"] = container.get("args", []) + model.get("args", [])
    container["ports"] = merged_ports(container.get("ports", []), model.get("ports", []))
    named = {"name": "INFERENCE_SERVICE_NAME", "value": name}
    variables = {one["name"]: one for one in [*container.get("env", []), *model.get("env", []), named]}
    container["env"] = list(variables.values())
    resources = container.get("resources", {})
    for kind, amounts in model.get("resources", {}).items():
        resources[kind] = resources.get(kind, {}) | amounts
    claim, _, folder = model["storageUri"].removeprefix("pvc://").partition("/")
    volume = {"name": "kserve-pvc-source", "persistentVolumeClaim": {"claimName": claim}}
    mount = {"name": volume["name"], "mountPath": MODELS, "subPath": folder, "readOnly": True}
    container["volumeMounts"] = [*container.get("volumeMounts", []), mount]
    volumes = [*runtime["spec"].get("volumes", []), *predictor.pop("volumes", []), volume]
    filled = json.loads(json.dumps(container).replace("{{.Name}}", name))
    return {**predictor, "containers": [filled], "volumes": volumes}


def merged_ports(runtime: list[dict[str, Any]], service: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Merge two lists of ports as a strategic merge patch does: those of the InferenceService come first."""
    of_runtime = {port["containerPort"]: port for port in runtime}
    merged = [of_runtime.pop(port["containerPort"], {}) | port for port in service]
    return merged + list(of_runtime.values())


def service_ports(ports: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Build the ports of the Service: 80 for the container's first port, the same number for each of the others."""
    found: list[dict[str, Any]] = []
    for port in ports:
        number, name = port["containerPort"], port.get("name", "http")
        entry = {"name": name, "port": number if found else 80, "targetPort": number, "protocol": "TCP"}
        found.append(entry | ({"appProtocol": "kubernetes.io/h2c"} if "grpc" in name or "h2c" in name else {}))
    return found


def replicas(service: dict[str, Any], current: int) -> int:
    """Return the current number of predictors, limited to the bounds of the InferenceService."""
    least = service["spec"]["predictor"].get("minReplicas") or 1
    most = service["spec"]["predictor"].get("maxReplicas") or least
    return min(max(current, least), max(most, least))


def predictor_objects(service: dict[str, Any], runtime: dict[str, Any], current: int = 0) -> list[dict[str, Any]]:
    """Build the predictor's Deployment and Service, owned by the InferenceService if that is in the cluster."""
    name = service["metadata"]["name"]
    predictor = f"{name}-predictor"
    app = {"app": f"isvc.{predictor}"}
    labels = app | {f"{GROUP}/inferenceservice": name, "component": "predictor"}
    pod = predictor_pod(service, runtime)
    metadata: dict[str, Any] = {"name": predictor, "labels": labels}
    if "uid" in service["metadata"]:
        owner = {"apiVersion": f"{GROUP}/v1beta1", "kind": "InferenceService", "name": name, "controller": True}
        metadata["ownerReferences"] = [owner | {"uid": service["metadata"]["uid"]}]
    deployment = {
        "replicas": replicas(service, current),
        "selector": {"matchLabels": app},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    ports = service_ports(pod["containers"][0]["ports"])
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": deployment},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": app, "ports": ports}},
    ]


def status(service: dict[str, Any], ready: bool) -> dict[str, Any]:
    """Build the status that `kubectl get inferenceservices` shows and that clients wait for."""
    metadata = service["metadata"]
    state = "Loaded" if ready else "Pending"
    value = {"status": str(ready)} | ({} if ready else {"reason": "PredictorNotReady"})
    return {
        "observedGeneration": metadata["generation"],
        "url": f"http://{metadata['name']}-{metadata['namespace']}.example.com",
        "conditions": [{"type": kind, **value} for kind in ("PredictorReady", "Ready")],
        "modelStatus": {
            "states": {"activeModelState": state, "targetModelState": state},
            "transitionStatus": "UpToDate" if ready else "InProgress",
        },
    }


class StandIn(threading.Thread):
    """A thread that acts as KServe's controller until `end` is called; `errors` collects what fails."""

    def __init__(self, api: client.ApiClient, namespace: str) -> None:
        super().__init__(name=MANAGER, daemon=True)
        self.errors: set[str] = set()
        self.namespace = namespace
        self.custom = client.CustomObjectsApi(api)
        self.apps = client.AppsV1Api(api)
        self.core = client.CoreV1Api(api)
        self.applied: dict[str, list[dict[str, Any]]] = {}
        self.reported: dict[str, dict[str, Any]] = {}
        self.ending = threading.Event()

    def run(self) -> None:
        """Update all InferenceServices once a second; an update that failed is repeated a second later."""
        while not self.ending.wait(SECONDS):
            try:
                for service in self.objects("v1beta1", "inferenceservices"):
                    self.update(service)
            except Exception as error:
                self.errors.add(f"{type(error).__name__}: {' '.join(str(error).split())}")

    def end(self) -> None:
        self.ending.set()
        self.join(30)

    def objects(self, version: str, plural: str) -> list[dict[str, Any]]:
        found: Any = self.custom.list_namespaced_custom_object(GROUP, version, self.namespace, plural)
        return found["items"]

    def update(self, service: dict[str, Any]) -> None:
        """Update one InferenceService's objects, then its status; skip one that names no runtime of this namespace."""
        uid, runtime_name = service["metadata"]["uid"], service["spec"]["predictor"].get("model", {}).get("runtime")
        runtimes = {runtime["metadata"]["name"]: runtime for runtime in self.objects("v1alpha1", "servingruntimes")}
        if runtime_name not in runtimes or "deletionTimestamp" in service["metadata"]:
            return
        found = self.deployment(service)
        wanted = predictor_objects(service, runtimes[runtime_name], found.spec.replicas if found else 0)
        if not found or self.applied.get(uid) != wanted:
            self.apply(wanted)
            self.applied[uid] = wanted
            return
        current = found.metadata.generation == found.status.observed_generation
        new_status = status(service, bool(current and found.status.available_replicas))
        if self.reported.get(uid) != new_status:
            where = (GROUP, "v1beta1", self.namespace, "inferenceservices", service["metadata"]["name"])
            self.custom.patch_namespaced_custom_object_status(*where, {"status": new_status})
            self.reported[uid] = new_status

    def deployment(self, service: dict[str, Any]) -> Any:
        """Return the InferenceService's Deployment, or None before it is created."""
        name = f"{service['metadata']['name']}-predictor"
        found = self.apps.list_namespaced_deployment(self.namespace, field_selector=f"metadata.name={name}").items
        return found[0] if found else None

    def apply(self, wanted: list[dict[str, Any]]) -> None:
        deployment, service = wanted
        options: dict[str, Any] = {
            "field_manager": MANAGER,
            "force": True,
            "_content_type": "application/apply-patch+yaml",
        }
        name = deployment["metadata"]["name"]
        self.apps.patch_namespaced_deployment(name, self.namespace, deployment, **options)
        self.core.patch_namespaced_service(name, self.namespace, service, **options)
