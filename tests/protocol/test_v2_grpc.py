"""Arbitrary gRPC requests: the reader returns images, or one sentence for the sender."""

from hypothesis import given, settings
from hypothesis import strategies as st
from kserve import InferRequest
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest

from distml.protocol import v2_grpc
from support.request_strategies import check


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["images", "image_bytes", ""]),
    st.sampled_from(["UINT8", "BYTES"]),
    st.lists(st.integers(-2, 2**40), max_size=4) | st.sampled_from([[1, 28, 28, 1], [1], [2]]),
    st.binary(max_size=800),
    st.booleans(),
)
def test_any_grpc_tensor_gives_images_or_one_sentence(
    name: str, datatype: str, shape: list[int], content: bytes, raw: bool
) -> None:
    message = ModelInferRequest(model_name="flower-sample")
    tensor = message.inputs.add(name=name, datatype=datatype, shape=shape)
    if raw:
        message.raw_input_contents.append(content)
    else:
        tensor.contents.bytes_contents.append(content)
        tensor.contents.uint_contents.extend(content)
    check(v2_grpc.read_images, InferRequest.from_grpc(message))


def test_the_length_of_a_grpc_request_counts_its_files_or_numbers() -> None:
    message = ModelInferRequest(model_name="flower-sample")
    tensor = message.inputs.add(name="image_bytes", datatype="BYTES", shape=[2])
    tensor.contents.bytes_contents.extend([b"a" * 1000, b"b" * 500])
    assert v2_grpc.length_of(InferRequest.from_grpc(message)) == 1500
    numbers = ModelInferRequest(model_name="flower-sample")
    numbers.inputs.add(name="images", datatype="UINT8", shape=[3]).contents.uint_contents.extend([1, 2, 3])
    assert v2_grpc.length_of(InferRequest.from_grpc(numbers)) == 24
