"""A model's metadata and state over gRPC and REST: its versions, its platform, and requests for another version."""

from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelMetadataRequest, ModelReadyRequest
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from support.predictor_process import Predictor

METADATA = {
    "name": "flower-sample",
    "versions": ["1"],
    "platform": "litert_tflite",
    "inputs": [
        {"name": "image_bytes", "datatype": "BYTES", "shape": [-1]},
        {"name": "images", "datatype": "UINT8", "shape": [-1, 28, 28, 1]},
    ],
    "outputs": [
        {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]},
        {"name": "class_index", "datatype": "INT64", "shape": [-1]},
        {"name": "class_name", "datatype": "BYTES", "shape": [-1]},
    ],
}


@pytest.mark.parametrize("version", ["", "1"])
def test_grpc_tells_a_models_versions_and_platform(channel: grpc.Channel, version: str) -> None:
    request = ModelMetadataRequest(name="flower-sample", version=version)
    answer = MessageToDict(GRPCInferenceServiceStub(channel).ModelMetadata(request, timeout=20))
    for tensor in (*answer["inputs"], *answer["outputs"]):
        tensor["shape"] = [int(size) for size in tensor["shape"]]  # JSON has int64 as text
    assert answer == METADATA


@pytest.mark.parametrize("path", ["", "/versions/1"])
def test_rest_tells_a_models_versions_and_platform(server: Predictor, path: str) -> None:
    assert server.get(f"/v2/models/flower-sample{path}") == (200, METADATA)


@pytest.mark.parametrize("version", ["", "1"])
def test_grpc_says_that_the_served_version_is_ready(channel: grpc.Channel, version: str) -> None:
    request = ModelReadyRequest(name="flower-sample", version=version)
    assert GRPCInferenceServiceStub(channel).ModelReady(request, timeout=20).ready


@pytest.mark.parametrize(
    ("method", "message"), [("ModelReady", ModelReadyRequest), ("ModelMetadata", ModelMetadataRequest)]
)
@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"name": "flower-sample", "version": "2"}, "version 2 is not served; version 1 is"),
        ({"name": "another", "version": "1"}, "unknown model; this server serves flower-sample"),
    ],
)
def test_another_version_or_model_is_not_found(
    channel: grpc.Channel, method: str, message: Any, asked: dict[str, str], sentence: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        getattr(GRPCInferenceServiceStub(channel), method)(message(**asked), timeout=20)
    assert (caught.value.code().name, caught.value.details()) == ("NOT_FOUND", sentence)


def test_an_unknown_grpc_method_is_unimplemented(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/inference.GRPCInferenceService/Unknown")(b"", timeout=20)
    assert caught.value.code().name == "UNIMPLEMENTED"
