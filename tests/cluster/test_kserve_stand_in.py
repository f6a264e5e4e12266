"""The objects and the status that the stand-in for KServe's controller builds; these tests need no cluster."""

from typing import Any

import pytest
import yaml

from cluster import kserve_stand_in
from cluster.kube import ROOT

RUNTIME = {
    "metadata": {"name": "some-runtime"},
    "spec": {
        "containers": [
            {
                "name": "kserve-container",
                "image": "some-image",
                "args": ["--model_name={{.Name}}"],
                "env": [{"name": "A", "value": "runtime"}, {"name": "B", "value": "runtime"}],
                "ports": [{"name": "http1", "containerPort": 8080}],
                "resources": {"requests": {"cpu": "1", "memory": "1Gi"}},
                "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
            }
        ],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    },
}

GRPC = {"name": "grpc", "containerPort": 8081}


def service(**predictor: Any) -> dict[str, Any]:
    model = {
        "runtime": "some-runtime",
        "storageUri": "pvc://claim/some/folder",
        "args": ["--more"],
        "env": [{"name": "B", "value": "service"}],
        "resources": {"requests": {"cpu": "2"}},
    }
    metadata = {"name": "flowers", "namespace": "here", "uid": "1", "generation": 3}
    return {"metadata": metadata, "spec": {"predictor": {"model": model, "enableServiceLinks": False, **predictor}}}


def test_the_inference_services_pod_settings_override_the_runtimes() -> None:
    assert kserve_stand_in.predictor_pod(service(minReplicas=1), RUNTIME) == {
        "enableServiceLinks": False,
        "containers": [
            {
                "name": "kserve-container",
                "image": "some-image",
                "args": ["--model_name=flowers", "--more"],
                "env": [
                    {"name": "A", "value": "runtime"},
                    {"name": "B", "value": "service"},
                    {"name": "INFERENCE_SERVICE_NAME", "value": "flowers"},
                ],
                "ports": [{"name": "http1", "containerPort": 8080}],
                "resources": {"requests": {"cpu": "2", "memory": "1Gi"}},
                "volumeMounts": [
                    {"name": "tmp", "mountPath": "/tmp"},
                    {
                        "name": "kserve-pvc-source",
                        "mountPath": "/mnt/models",
                        "subPath": "some/folder",
                        "readOnly": True,
                    },
                ],
            }
        ],
        "volumes": [
            {"name": "tmp", "emptyDir": {}},
            {"name": "kserve-pvc-source", "persistentVolumeClaim": {"claimName": "claim"}},
        ],
    }


def test_the_inference_service_owns_both_objects_behind_port_80() -> None:
    deployment, found = kserve_stand_in.predictor_objects(service(), RUNTIME)
    (owner,) = deployment["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("InferenceService", "flowers", "1")
    assert found["metadata"] == deployment["metadata"]
    assert found["metadata"]["name"] == "flowers-predictor"
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert labels["serving.kserve.io/inferenceservice"] == "flowers"
    assert labels.items() >= found["spec"]["selector"].items() == deployment["spec"]["selector"]["matchLabels"].items()
    assert found["spec"]["ports"] == [{"name": "http1", "port": 80, "targetPort": 8080, "protocol": "TCP"}]


@pytest.mark.parametrize(
    ("declared", "ports"),
    [
        ([{"name": "http1", "containerPort": 8080}, GRPC], [(80, 8080, None), (8081, 8081, "kubernetes.io/h2c")]),
        # A port that only the InferenceService declares comes before those of the runtime.
        ([GRPC], [(80, 8081, "kubernetes.io/h2c"), (8080, 8080, None)]),
    ],
)
def test_the_service_has_a_port_for_each_declared_port(declared: list[dict], ports: list[tuple]) -> None:
    with_ports = service()
    with_ports["spec"]["predictor"]["model"]["ports"] = declared
    _, found = kserve_stand_in.predictor_objects(with_ports, RUNTIME)
    assert [(port["port"], port["targetPort"], port.get("appProtocol")) for port in found["spec"]["ports"]] == ports


@pytest.mark.parametrize(
    ("bounds", "current", "replicas"),
    [
        ({}, 0, 1),
        ({}, 3, 1),
        ({"minReplicas": 2}, 0, 2),
        ({"minReplicas": 1, "maxReplicas": 3}, 2, 2),
        ({"minReplicas": 1, "maxReplicas": 3}, 5, 3),
    ],
)
def test_the_number_of_predictors_stays_within_the_bounds(bounds: dict[str, int], current: int, replicas: int) -> None:
    deployment, _ = kserve_stand_in.predictor_objects(service(**bounds), RUNTIME, current)
    assert deployment["spec"]["replicas"] == replicas


@pytest.mark.parametrize(("ready", "states"), [(True, ["True", "True"]), (False, ["False", "False"])])
def test_the_status_shows_whether_the_predictor_is_ready(ready: bool, states: list[str]) -> None:
    status = kserve_stand_in.status(service(), ready)
    assert [condition["type"] for condition in status["conditions"]] == ["PredictorReady", "Ready"]
    assert [condition["status"] for condition in status["conditions"]] == states
    assert status["url"] == "http://flowers-here.example.com"


def test_the_stand_in_serves_the_projects_own_inference_service() -> None:
    service = yaml.safe_load((ROOT / "inference-service.yaml").read_text())
    runtime = yaml.safe_load((ROOT / "manifests/serving/serving-runtime.yaml").read_text())
    service["metadata"]["name"] = "fashion"
    deployment, found = kserve_stand_in.predictor_objects(service, runtime)
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert {"--model-dir=/mnt/models", "--model-name=fashion"} <= set(container["command"])
    assert container["readinessProbe"]["httpGet"]["path"] == "/v2/models/fashion/ready"
    assert [(port["name"], port["port"]) for port in found["spec"]["ports"]] == [("http1", 80), ("grpc", 8081)]
