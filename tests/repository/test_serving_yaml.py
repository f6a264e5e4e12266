"""The inference services, their runtime and the predictor agree. No cluster is needed."""

import importlib
import re
from pathlib import Path

import yaml

from distml.protocol import limits
from support.project import ROOT
from support.yaml_files import load

MODE = "serving.kserve.io/deploymentMode"
# What the three models take; DisableCopyOnRead came after TensorFlow 2.6, the version of KServe's default image. Before
# one is added here: does the version that inference-service.yaml names know it?
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
    if mode == "Standard":  # Knative refuses it
        predictor["securityContext"].pop("fsGroupChangePolicy")
    return {**service, "spec": {"predictor": predictor}}


def test_the_inference_services_differ_only_in_scaling():
    plain = load("inference-service.yaml")
    assert not SCALING & plain["spec"]["predictor"].keys()
    assert plain["metadata"]["name"] == "flower-sample"
    for name in ("autoscaled-inference-service.yaml", "autoscaled-inference-service-knative.yaml"):
        assert load(name)["spec"]["predictor"].keys() >= SCALING
        assert without_scaling(load(name)) == without_scaling(load("inference-service.yaml"))


def test_the_one_for_knative_has_no_field_of_a_pod_that_knative_refuses():
    predictor = load("autoscaled-inference-service-knative.yaml")["spec"]["predictor"]
    known = {"runAsUser", "runAsGroup", "runAsNonRoot", "fsGroup", "supplementalGroups", "seccompProfile"}
    assert predictor["securityContext"].keys() <= known
    assert predictor.keys() - SCALING == {
        "automountServiceAccountToken",
        "enableServiceLinks",
        "securityContext",
        "model",
    }


def test_each_names_its_mode_and_a_metric_that_the_mode_knows():
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


def test_one_other_line_gives_the_stock_runtime():
    text = (ROOT / "inference-service.yaml").read_text()
    runtime = load("manifests/serving/serving-runtime.yaml")["metadata"]["name"]
    line = re.search(r"`(runtimeVersion: ([\d.]+))` in place of this line", text)
    stock = yaml.safe_load(re.sub(rf"runtime: {runtime}(?=\n)", line[1], text))
    model = load("inference-service.yaml")["spec"]["predictor"]["model"]
    assert model.pop("runtime") == runtime
    assert stock["spec"]["predictor"]["model"] == model | {"runtimeVersion": line[2]}


def test_the_model_has_no_operation_that_the_stock_runtime_might_not_know(published_volume):
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    model.ParseFromString((published_volume.version(1) / "saved_model.pb").read_bytes())
    (graph,) = (meta.graph_def for meta in model.meta_graphs)
    functions = {function.signature.name: function.node_def for function in graph.library.function}
    used = {node.op for nodes in (graph.node, *functions.values()) for node in nodes} - functions.keys()
    assert {"Conv2D", "DecodeJpeg", "DecodePng"} <= used
    assert used - KNOWN_OPERATIONS == set()


def test_the_runtime_serves_the_services_format_and_is_never_chosen_by_itself():
    (served,) = load("manifests/serving/serving-runtime.yaml")["spec"]["supportedModelFormats"]
    assert served["autoSelect"] is False
    assert served["name"] == load("inference-service.yaml")["spec"]["predictor"]["model"]["modelFormat"]["name"]


def test_the_claim_and_the_folder_are_those_of_the_other_files():
    from distml.step.volume import Volume

    claim = load("multi-worker-pvc.yaml")["metadata"]["name"]
    folder = Volume(Path("/")).versions.name
    assert load("inference-service.yaml")["spec"]["predictor"]["model"]["storageUri"] == f"pvc://{claim}/{folder}"


def test_the_pod_is_restricted():
    pod = load("predict-service.yaml")["spec"]
    predictor = load("inference-service.yaml")["spec"]["predictor"]
    (container,) = load("manifests/serving/serving-runtime.yaml")["spec"]["containers"]
    assert predictor["securityContext"] == pod["securityContext"]
    assert predictor["automountServiceAccountToken"] is False
    assert container["securityContext"] == pod["containers"][0]["securityContext"]
    assert container["resources"] == predictor["model"]["resources"]
    assert container["image"] == pod["containers"][0]["image"]


def test_the_runtimes_command_is_a_script_of_the_image_and_passes_its_arguments():
    (container,) = load("manifests/serving/serving-runtime.yaml")["spec"]["containers"]
    program, path, *arguments = container["command"]
    links = re.findall(r"ln -s /opt/pipeline/src/(\w+)\.py (/[\w-]+\.py)", (ROOT / "Dockerfile").read_text())
    module = importlib.import_module({link: module for module, link in links}[path])
    parsed = module.parse_args(arguments)
    assert (program, str(parsed.model_dir)) == ("python3", "/mnt/models")
    assert [port["containerPort"] for port in container["ports"]] == [parsed.http_port]
    # Kubernetes' default is 30; Knative refuses a service that names another.
    assert "terminationGracePeriodSeconds" not in load("inference-service.yaml")["spec"]["predictor"]
    assert parsed.drain_seconds + 2 * limits.SECONDS_TO_FINISH < 30


def test_readiness_asks_the_model():
    (container,) = load("manifests/serving/serving-runtime.yaml")["spec"]["containers"]
    name = load("inference-service.yaml")["metadata"]["name"]
    assert container["readinessProbe"]["httpGet"] == {"path": f"/v2/models/{name}/ready", "port": 8080}
