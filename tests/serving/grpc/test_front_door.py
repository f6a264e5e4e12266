"""gRPC answers and refusals of the predictor, a real process on loopback."""

from collections.abc import Iterator

import grpc
import numpy as np
import pytest
from kserve import InferInput, InferRequest, InferResponse
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from distml.model.image_decoding import png
from distml.protocol.v2_tensors import NUMBERS
from support.predictor_process import Predictor
from support.predictor_requests import IMAGES, NOT_AN_IMAGE, Ask


@pytest.fixture
def stub(server: Predictor) -> Iterator[GRPCInferenceServiceStub]:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", [("grpc.max_send_message_length", -1)]) as channel:
        yield GRPCInferenceServiceStub(channel)


def grpc_request(name: str, datatype: str, content: np.ndarray, binary: bool = True) -> ModelInferRequest:
    tensor = InferInput(name, list(content.shape), datatype)
    tensor.set_data_from_numpy(content, binary_data=binary)
    return InferRequest("flower-sample", [tensor]).to_grpc()


@pytest.mark.parametrize("binary", [True, False])
def test_grpc_answers_arrays_and_files(stub: GRPCInferenceServiceStub, saved: Ask, binary: bool) -> None:
    files = [png(image) for image in IMAGES]
    file_request = grpc_request("image_bytes", "BYTES", np.array(files, dtype=object))
    if not binary:  # KServe's client would send the files as text
        file_request.inputs[0].contents.bytes_contents.extend(files)
        del file_request.raw_input_contents[:]
    for request in (grpc_request("images", "UINT8", IMAGES, binary), file_request):
        answer = InferResponse.from_grpc(stub.ModelInfer(request, timeout=20))
        outputs = {output.name: output.as_numpy() for output in answer.outputs}
        assert answer.model_version == "1"
        np.testing.assert_allclose(outputs["probabilities"].reshape(3, 10), saved(IMAGES), atol=1e-3)


@pytest.mark.parametrize(("datatype", "shape"), [("FP32", (3, 28, 28)), ("INT64", (3, 784)), ("FP16", (3, 1, 28, 28))])
def test_grpc_accepts_other_datatypes_names_and_shapes(
    stub: GRPCInferenceServiceStub, saved: Ask, datatype: str, shape: tuple[int, ...]
) -> None:
    request = grpc_request("input-0", datatype, IMAGES.reshape(shape).astype(NUMBERS[datatype]))
    request.inputs[0].datatype = datatype.lower()
    answer = InferResponse.from_grpc(stub.ModelInfer(request, timeout=20))
    np.testing.assert_allclose(answer.outputs[0].as_numpy(), saved(IMAGES), atol=1e-3)


@pytest.mark.parametrize("binary", [True, False])
def test_grpc_returns_the_images_if_the_request_names_them(stub: GRPCInferenceServiceStub, binary: bool) -> None:
    request = grpc_request("images", "UINT8", IMAGES, binary)
    request.outputs.add(name="images")
    (output,) = InferResponse.from_grpc(stub.ModelInfer(request, timeout=20)).outputs
    assert (output.name, output.datatype, output.shape) == ("images", "UINT8", [3, 28, 28, 1])
    assert np.array_equal(output.as_numpy(), IMAGES)


@pytest.mark.parametrize(
    ("request_", "code", "sentence"),
    [
        (
            grpc_request("images", "UINT8", IMAGES[:, 1:]),
            "INVALID_ARGUMENT",
            "the shape [3, 27, 28, 1] does not fit; p",
        ),
        (
            grpc_request("image_bytes", "UINT8", IMAGES),
            "INVALID_ARGUMENT",
            '"image_bytes" means image files, but UINT8',
        ),
        (
            grpc_request("images", "BOOL", IMAGES > 99),
            "INVALID_ARGUMENT",
            "the datatype 'BOOL' is not accepted; expect",
        ),
        (
            grpc_request("images", "FP32", IMAGES / np.float32(255)),
            "INVALID_ARGUMENT",
            "pixels must be whole numbers f",
        ),
        (grpc_request("image_bytes", "BYTES", np.array([b"no"], object)), "INVALID_ARGUMENT", NOT_AN_IMAGE),
        (
            InferRequest("flower-sample", []).to_grpc(),
            "INVALID_ARGUMENT",
            "the request has no inputs; expected one inp",
        ),
        (InferRequest("another", []).to_grpc(), "NOT_FOUND", "unknown model; this server serves flower-sample"),
        (grpc_request("images", "UINT8", np.zeros((2**14, 28, 28), np.uint8)), "RESOURCE_EXHAUSTED", ""),
    ],
)
def test_bad_grpc_input_gets_a_status_with_one_sentence(
    stub: GRPCInferenceServiceStub, request_: ModelInferRequest, code: str, sentence: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(request_, timeout=20)
    assert caught.value.code().name == code
    assert caught.value.details().startswith(sentence) and "\n" not in caught.value.details()
