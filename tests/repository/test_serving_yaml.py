"""The InferenceServices, their runtime and the predictor agree. No cluster is needed."""

import importlib
import re
from pathlib import Path

import yaml

import serve
from distml.protocol import limits
from distml.step.volume import Volume
from support.project import ROOT
from support.yaml_files import load

MODE = "serving.kserve.io/deploymentMode"
# Operations of the three models. DisableCopyOnRead is newer than TensorFlow 2.6, the version of KServe's default image.
# Before adding an operation, check that the version in inference-service.yaml knows it.
KNOWN_OPERATIONS = set(
    re.findall(
        r"\w+",
        """
        Abs AddV2 ArgMax AssignVariableOp BiasAdd Cast ConcatV2 Const Conv2D Cumsum DecodeJpeg DecodePng DecodeRaw
        DenseBincount DisableCopyOnRead EnsureShape Equal Fill Floor FloorDiv GatherV2 Greater Identity Less LogicalAnd
        LogicalNot MatMul Max MaxPool Maximum MergeV2Checkpoints Minimum Mul NoOp Pack Placeholder Range ReadVariableOp
        RealDiv Relu Reshape RestoreV2 Rsqrt SaveV2 Select SelectV2 Shape ShardedFilename Size Softmax Squeeze
        StatefulPartitionedCall StatelessIf StatelessWhile StaticRegexFullMatch StridedSlice StringJoin StringSplitV2
        Sub Substr Sum TensorListFromTensor TensorListGetItem TensorListReserve TensorListSetItem TensorListStack
        Transpose Unpack VarHandleOp VarIsInitializedOp
        """,
    )
)
SCALING = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget"}


def without_scaling(service: dict) -> dict:
    predictor = {key: value for key, value in service["spec"]["predictor"].items() if key not in SCALING}
    mode = service["metadata"]["annotations"].pop(MODE)
    if mode == "Standard":  # Knative refuses fsGroupChangePolicy and a second port
        predictor["securityContext"].pop("fsGroupChangePolicy")
        predictor["model"].pop("ports")
    return {**service, "spec": {"predictor": predictor}}


def test_the_inference_services_differ_only_in_scaling() -> None:
    plain = load("inference-service.yaml")
    assert not SCALING & plain["spec"]["predictor"].keys()
    assert plain["metadata"]["name"] == "flower-sample"
    for name in ("autoscaled-inference-service.yaml", "autoscaled-inference-service-knative.yaml"):
        assert load(name)["spec"]["predictor"].keys() >= SCALING
        assert without_scaling(load(name)) == without_scaling(load("inference-service.yaml"))


def test_the_knative_service_has_no_pod_field_that_knative_refuses() -> None:
    predictor = load("autoscaled-inference-service-knative.yaml")["spec"]["predictor"]
    known = {"runAsUser", "runAsGroup", "runAsNonRoot", "fsGroup", "supplementalGroups", "seccompProfile"}
    assert predictor["securityContext"].keys() <= known
    assert predictor.keys() - SCALING == {
        "automountServiceAccountToken",
        "enableServiceLinks",
        "securityContext",
        "model",
    }


def test_each_standard_service_adds_a_grpc_port_after_the_first() -> None:
    (container,) = load("manifests/serving/serving-runtime.yaml")["spec"]["containers"]
    defaults = serve.parse_args([])
    for name in ("inference-service.yaml", "autoscaled-inference-service.yaml"):
        first, second = load(name)["spec"]["predictor"]["model"]["ports"]
        # KServe puts the ports of the service before those of the runtime, and makes the first the Service's port 80.
        assert [first] == container["ports"]
        # KServe, ingress controllers and meshes take a port of this name for gRPC.
        assert second == {"name": "grpc", "containerPort": defaults.grpc_port, "protocol": "TCP"}


def test_each_service_names_its_mode_and_a_metric_of_that_mode() -> None:
    found = {}
    for path in ROOT.glob("*inference-service*.yaml"):
        service = load(path.name)
        predictor = service["spec"]["predictor"]
        found[path.name] = (service["metadata"]["annotations"][MODE], predictor.get("scaleMetric"))
    assert found == {
        "inference-service.yaml": ("Standard", None),
        "autoscaled-inference-service.yaml": ("Standard", "cpu"),
        "autoscaled-inference-service-knative.yaml": ("Knative", "concurrency"),
    }


def test_changing_one_line_selects_tensorflow_serving() -> None:
    text = (ROOT / "inference-service.yaml").read_text()
    runtime = load("manifests/serving/serving-runtime.yaml")["metadata"]["name"]
    ((line, version),) = re.findall(r"`(runtimeVersion: ([\d.]+))` in place of this line", text)
    stock = yaml.safe_load(re.sub(rf"runtime: {runtime}(?=\n)", line, text))
    model = load("inference-service.yaml")["spec"]["predictor"]["model"]
    assert model.pop("runtime") == runtime
    assert stock["spec"]["predictor"]["model"] == model | {"runtimeVersion": version}


def test_tensorflow_serving_knows_all_operations_of_the_model(published_volume: Volume) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    model.ParseFromString((published_volume.version(1) / "saved_model.pb").read_bytes())
    (graph,) = (meta.graph_def for meta in model.meta_graphs)
    functions = {function.signature.name: function.node_def for function in graph.library.function}
    used = {node.op for nodes in (graph.node, *functions.values()) for node in nodes} - functions.keys()
    assert {"Conv2D", "DecodeJpeg", "DecodePng"} <= used
    assert used - KNOWN_OPERATIONS == set()


def test_the_runtime_serves_the_format_and_is_never_auto_selected() -> None:
    (served,) = load("manifests/serving/serving-runtime.yaml")["spec"]["supportedModelFormats"]
    assert served["autoSelect"] is False
    assert served["name"] == load("inference-service.yaml")["spec"]["predictor"]["model"]["modelFormat"]["name"]


def test_the_services_uri_names_the_claim_and_the_versions_folder() -> None:
    from distml.step.volume import Volume

    claim = load("multi-worker-pvc.yaml")["metadata"]["name"]
    folder = Volume(Path("/")).versions.name
    assert load("inference-service.yaml")["spec"]["predictor"]["model"]["storageUri"] == f"pvc://{claim}/{folder}"


def test_the_predictors_pod_is_restricted() -> None:
    pod = load("predict-service.yaml")["spec"]
    predictor = load("inference-service.yaml")["spec"]["predictor"]
    (container,) = load("manifests/serving/serving-runtime.yaml")["spec"]["containers"]
    assert predictor["securityContext"] == pod["securityContext"]
    assert predictor["automountServiceAccountToken"] is False
    assert container["securityContext"] == pod["containers"][0]["securityContext"]
    assert container["resources"] == predictor["model"]["resources"]
    assert container["image"] == pod["containers"][0]["image"]


def test_the_runtimes_command_is_a_script_that_parses_its_arguments() -> None:
    (container,) = load("manifests/serving/serving-runtime.yaml")["spec"]["containers"]
    program, path, *arguments = [word.replace("{{.Name}}", "fashion") for word in container["command"]]
    links = re.findall(r"ln -s /opt/pipeline/src/(\w+)\.py (/[\w-]+\.py)", (ROOT / "Dockerfile").read_text())
    module = importlib.import_module({link: module for module, link in links}[path])
    parsed = module.parse_args(arguments)
    assert (program, str(parsed.model_dir), parsed.model_name) == ("python3", "/mnt/models", "fashion")
    assert parsed.release == "guarded"
    assert [port["containerPort"] for port in container["ports"]] == [parsed.http_port]
    # Kubernetes' default is 30 s, and Knative refuses a service that sets another value.
    assert "terminationGracePeriodSeconds" not in load("inference-service.yaml")["spec"]["predictor"]
    assert parsed.drain_seconds + 2 * limits.SECONDS_TO_FINISH < 30


def test_two_probes_ask_the_model_by_the_name_of_its_service() -> None:
    (container,) = load("manifests/serving/serving-runtime.yaml")["spec"]["containers"]
    for probe in ("readinessProbe", "startupProbe"):
        assert container[probe]["httpGet"] == {"path": "/v2/models/{{.Name}}/ready", "port": 8080}
    assert "--model-name={{.Name}}" in container["command"]
