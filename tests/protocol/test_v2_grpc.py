"""V2 requests over gRPC: typed contents and raw contents of every datatype, and one sentence for what is wrong."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest

from distml.model.image_decoding import png
from distml.protocol import v2_grpc
from distml.protocol.contract import BadInput
from distml.protocol.v2_tensors import NUMBERS
from support.predictor_requests import IMAGES
from support.request_strategies import DATATYPES, SHAPES, check

FIELDS = ["uint_contents", "int_contents", "uint64_contents", "int64_contents", "fp32_contents", "fp64_contents"]
FIELD_OF = {
    **{"UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents", "UINT64": "uint64_contents"},
    **{"INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents", "INT64": "int64_contents"},
    **{"FP32": "fp32_contents", "FP64": "fp64_contents"},
}
SMALL = IMAGES // 2


def message(raw: bytes | None = None, outputs: tuple[str, ...] = (), **contents: Any) -> ModelInferRequest:
    """Return a request with one input: pixels, or what `contents` changes in its description."""
    description = {"name": "images", "datatype": "UINT8", "shape": [3, 28, 28, 1]}
    description |= {key: contents.pop(key) for key in (*description, "parameters") if key in contents}
    request = ModelInferRequest(model_name="flower-sample", raw_input_contents=[] if raw is None else [raw])
    tensor = request.inputs.add(**description)
    for field, values in contents.items():
        getattr(tensor.contents, field).extend(values)
    for name in outputs:
        request.outputs.add(name=name)
    return request


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["images", "image_bytes", "input-0", ""]),
    DATATYPES,
    SHAPES | st.lists(st.integers(-2, 2**40), max_size=4),
    st.none() | st.binary(max_size=800),
    st.dictionaries(st.sampled_from(FIELDS), st.just([0, 1]) | st.just([7] * 784), max_size=2),
)
def test_any_grpc_tensor_gives_images_or_one_sentence(
    name: str, datatype: str, shape: list[int], raw: bytes | None, contents: dict[str, Any]
) -> None:
    check(v2_grpc.read_request, message(raw, name=name, datatype=datatype, shape=shape, **contents))


@pytest.mark.parametrize("datatype", NUMBERS)
def test_raw_contents_of_every_numeric_datatype_are_pixels(datatype: str) -> None:
    raw = SMALL.astype(NUMBERS[datatype]).tobytes()
    assert np.array_equal(v2_grpc.read_request(message(raw, datatype=datatype)).images, SMALL)


@pytest.mark.parametrize("datatype", FIELD_OF)
def test_typed_contents_of_every_numeric_datatype_are_pixels(datatype: str) -> None:
    contents: dict[str, Any] = {FIELD_OF[datatype]: SMALL.ravel().tolist()}
    assert np.array_equal(v2_grpc.read_request(message(datatype=datatype.lower(), **contents)).images, SMALL)


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (ModelInferRequest(), "the request has no inputs; expected one input: image files"),
        (message(name=""), 'the input\'s "name" is empty; name it "images" for pixels or "image_bytes" for'),
        (message(datatype="BF16"), "the datatype 'BF16' is not accepted; expected BYTES for image files, or UINT8"),
        (message(), "the data of an input of UINT8 must be in contents.uint_contents or raw_input_contents, and"),
        (message(int_contents=[0]), "the data of an input of UINT8 must be in contents.uint_contents or raw_input_c"),
        (message(datatype="FP16"), "the data of an input of FP16 must be in raw_input_contents, and only there"),
        (message(b"", uint_contents=[0]), "the input has both contents and raw_input_contents; send only one of"),
        (message(b"a"), "the shape announces 2352 bytes of UINT8, but the data has 1"),
        (message(uint_contents=[0]), "the shape announces 2352 pixels, but the data has 1"),
        (
            message(datatype="FP32", fp32_contents=[0.1] * 2352),
            "pixels must be whole numbers from 0 to 255; these are between 0 and 1, such as 0.1; multiply them by 255",
        ),
        (message(b"", outputs=("images", "images")), '"outputs" names "images" twice; name each output once'),
        (message(uint_contents=[0] * 2352, outputs=("logits",)), "the outputs are probabilities, class_index, class_"),
    ],
)
def test_each_fault_of_a_grpc_request_has_its_own_sentence(request_: ModelInferRequest, sentence: str) -> None:
    with pytest.raises(BadInput) as caught:
        v2_grpc.read_request(request_)
    assert str(caught.value)[: len(sentence)] == sentence


def test_raw_contents_need_one_element_for_the_input() -> None:
    request = message(b"a")
    request.raw_input_contents.append(b"b")
    with pytest.raises(BadInput, match="raw_input_contents has 2 elements, but the request has one input"):
        v2_grpc.read_request(request)


def test_shared_memory_and_classification_are_refused_over_grpc() -> None:
    memory, classes = message(b""), message(b"", outputs=("probabilities",))
    memory.inputs[0].parameters["shared_memory_region"].string_param = "a"
    classes.outputs[0].parameters["classification"].int64_param = 3
    for request, sentence in ((memory, "the input is in shared memory"), (classes, '"classification" of the output')):
        with pytest.raises(BadInput, match=sentence):
            v2_grpc.read_request(request)


def test_image_files_are_typed_or_raw() -> None:
    files = [png(image) for image in IMAGES]
    raw = b"".join(len(file).to_bytes(4, "little") + file for file in files)
    for contents in ({"bytes_contents": files}, {"raw": raw}):
        request = message(name="anything", datatype="BYTES", shape=[3], **contents)
        assert np.array_equal(v2_grpc.read_request(request).images, IMAGES)


def test_the_length_of_a_grpc_request_counts_its_files_and_numbers() -> None:
    files = message(datatype="BYTES", bytes_contents=[b"a" * 1000, b"b" * 500])
    assert 1500 < v2_grpc.length_of(files) < 1600
    assert 2400 < v2_grpc.length_of(message(uint_contents=[1] * 300)) < 2800
    assert v2_grpc.length_of(message(shape=[1] * 1000)) > 1000
