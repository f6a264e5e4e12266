"""V2 requests over REST, in JSON and with binary tensor data, and one sentence for what is wrong."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distml.model.image_decoding import png
from distml.protocol import v2_rest
from distml.protocol.contract import BadInput, ModelSpec
from support.predictor_requests import IMAGES, file_instance, v2_input
from support.request_strategies import NEARLY_VALID, TENSOR, check

ONE = v2_input(IMAGES[:1])
FILE: dict[str, Any] = {
    "name": "image_bytes",
    "datatype": "BYTES",
    "shape": [1],
    "data": [file_instance(png(IMAGES[0]))["image_bytes"]["b64"]],
}


def read(tensor: object, binary: bytes | None = None, **more: object) -> v2_rest.V2Request:
    """Read a request with one input, which `binary` follows."""
    head = json.dumps({"inputs": [tensor], **more}).encode()
    return v2_rest.read_request(head + (binary or b""), None if binary is None else len(head))


def sized(description: dict[str, Any], size: object) -> dict[str, Any]:
    """Return an input without "data" that announces `size` bytes of binary data."""
    without_data = {key: value for key, value in description.items() if key != "data"}
    return without_data | {"parameters": {"binary_data_size": size}}


@settings(max_examples=300, deadline=None)
@given(TENSOR, NEARLY_VALID, st.binary(max_size=20), st.sampled_from([None, 0, 1]), st.booleans())
def test_any_v2_body_gives_images_or_one_sentence(
    tensor: dict[str, object], outputs: object, binary: bytes, shift: int | None, has_outputs: bool
) -> None:
    head = json.dumps({"inputs": [tensor], **({"outputs": outputs} if has_outputs else {})}).encode()
    length = None if shift is None else len(head) + shift
    check(v2_rest.read_request, head + (b"" if shift is None else binary), length)


NEEDED = 'the input needs "data", a list, or "binary_data_size" and binary data'
FAULTS: list[tuple[object, bytes | None, str]] = [
    (1, None, 'the input must be an object with "name", "datatype", "shape" and "data"'),
    (ONE | {"name": None}, None, 'the input\'s "name" must be a string, such as "images"'),
    (ONE | {"name": ""}, None, 'the input\'s "name" is empty; name it "images" for pixels or "image_bytes" for'),
    (ONE | {"name": "image_bytes"}, None, '"image_bytes" means image files, but UINT8 means pixels; name the input "i'),
    (FILE | {"name": "images"}, None, '"images" means pixels, but BYTES means image files; name the input "image_byt'),
    (ONE | {"datatype": 8}, None, 'the input\'s "datatype" must be a string; expected BYTES for image files, or UINT8'),
    (ONE | {"datatype": "BOOL"}, None, "the datatype 'BOOL' is not accepted; expected BYTES for image files, or UINT8"),
    (ONE | {"datatype": "uınt8"}, None, "the datatype 'uınt8' is not accepted; expected BYTES for image files, or"),
    (FILE | {"datatype": "byteſ"}, None, "the datatype 'byteſ' is not accepted; expected BYTES for image files, or"),
    (
        ONE | {"datatype": "a\0" * 99},
        None,
        "the datatype 'a\\x00a\\x00a\\x00a\\x00a\\x00a\\x00a\\x00a... is not accepted",
    ),
    (ONE | {"shape": None}, None, 'the input\'s "shape" must be a list of whole numbers, such as [1, 28, 28, 1]'),
    (FILE | {"shape": [1.0]}, None, 'the input\'s "shape" must be a list of whole numbers, such as [1]'),
    (ONE | {"data": [7]}, None, "the shape announces 784 pixels, but the data has 1"),
    (ONE | {"data": [[7], [7, 7]]}, None, '"data" must be a flat list, or lists nested by the shape'),
    (ONE | {"data": [[7], 7]}, None, '"data" must be a flat list, or lists nested by the shape'),
    (ONE | {"data": "7"}, None, NEEDED),
    (ONE | {"data": None}, None, NEEDED),
    (ONE, b"abc", '3 bytes follow the JSON, but the input has no "binary_data_size"'),
    (ONE | sized(ONE, 784), b"abc", 'the input has both "data" and "binary_data_size"; send only one of them'),
    (
        sized(ONE, 784),
        None,
        '"binary_data_size" needs the header Inference-Header-Content-Length, the length of the JS',
    ),
    (sized(ONE, 784), b"abc", '"binary_data_size" is 784, but 3 bytes follow the JSON'),
    (sized(ONE, "3"), b"abc", '"binary_data_size" is not a whole number, but 3 bytes follow the JSON'),
    (sized(ONE, 3), b"abc", "the shape announces 784 bytes of UINT8, but the data has 3"),
    (ONE | {"parameters": 1}, None, '"parameters" must be an object'),
    (ONE | {"parameters": {"shared_memory_region": "a"}}, None, "the input is in shared memory, which this server doe"),
    (ONE, b"a", '1 byte follows the JSON, but the input has no "binary_data_size"'),
    (sized(ONE, 784), b"a", '"binary_data_size" is 784, but 1 byte follows the JSON'),
    (FILE | {"shape": [2]}, None, "the shape announces 2 images, but the data has 1"),
    (FILE | {"data": FILE["data"] * 2}, None, "the shape announces 1 image, but the data has 2"),
    (FILE | {"shape": [2], "data": [*FILE["data"], 7]}, None, "image 2 of 2: an image file must be a string in base64"),
]


@pytest.mark.parametrize(("tensor", "binary", "sentence"), FAULTS)
def test_each_fault_of_an_input_has_its_own_sentence(tensor: object, binary: bytes | None, sentence: str) -> None:
    with pytest.raises(BadInput) as caught:
        read(tensor, binary)
    assert str(caught.value)[: len(sentence)] == sentence


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ([], "the body must be a JSON object; expected one input: image files"),
        ({}, '"inputs" must be a list; expected one input: image files'),
        ({"inputs": []}, "the request has no inputs; expected one input: image files"),
        ({"inputs": [ONE, ONE]}, "the request has 2 inputs; expected one input: image files"),
        ({"inputs": [ONE], "id": 7}, '"id" must be a string'),
        ({"inputs": [ONE], "outputs": {}}, '"outputs" must be a list of objects'),
        ({"inputs": [ONE], "outputs": [{"name": "images"}] * 2}, '"outputs" names "images" twice; name each output'),
    ],
)
def test_each_fault_of_a_v2_body_has_its_own_sentence(document: object, sentence: str) -> None:
    with pytest.raises(BadInput) as caught:
        v2_rest.read_request(json.dumps(document).encode(), None)
    assert str(caught.value)[: len(sentence)] == sentence


V1_COLUMNS: list[object] = [
    *([{"b64": "YQ=="}], ["YQ=="], IMAGES[..., 0].tolist(), {"b64": "YQ=="}),
    *([{"image_bytes": {}}] * 2, {"image_bytes": []}, {"images": []}),
]


@pytest.mark.parametrize("document", [{"instances": [FILE]}, *({"inputs": columns} for columns in V1_COLUMNS)])
def test_a_v1_body_is_sent_to_the_route_of_v1(document: object) -> None:
    with pytest.raises(BadInput) as caught:
        v2_rest.read_request(json.dumps(document).encode(), None)
    assert str(caught.value) == "this is a request of the V1 protocol; send it to /v1/models/<model>:predict"


def test_a_v2_body_with_a_fault_is_not_taken_for_v1() -> None:
    faults: list[object] = [[], {}, ONE, [{}], "images", [ONE | {"data": None}]]
    for document in ({}, *({"inputs": inputs, "instances": [FILE]} for inputs in faults)):
        with pytest.raises(BadInput) as caught:
            v2_rest.read_request(json.dumps(document).encode(), None)
        assert "V1" not in str(caught.value)


def two(shape: list[int], nesting: list[int]) -> dict[str, Any]:
    """Return an input with two images, whose data is nested in another way than its shape says."""
    return {"name": "a", "datatype": "UINT8", "shape": shape, "data": IMAGES[:2].reshape(nesting).tolist()}


@pytest.mark.parametrize("nesting", [[2, 28, 28], [2, 1, 28, 28], [2, 28, 28, 1], [1, 2, 28, 28], [1568], [1, 1568]])
def test_nested_data_may_differ_from_its_shape_in_axes_of_length_1(nesting: list[int]) -> None:
    assert np.array_equal(read(two([2, 28, 28, 1], nesting)).images, IMAGES[:2])


@pytest.mark.parametrize("nesting", [[28, 28, 2], [2, 784], [28, 56], [784, 2], [28, 2, 28]])
def test_nested_data_that_contradicts_its_shape_is_refused(nesting: list[int]) -> None:
    with pytest.raises(BadInput) as caught:
        read(two([2, 28, 28], nesting))
    advice = "send a flat list, or nest it by the shape"
    assert str(caught.value) == f'"data" is nested as {nesting}, but the shape is [2, 28, 28]; {advice}'


@pytest.mark.parametrize("name", [{}, [], None, "logits"])
def test_an_unknown_output_is_refused_in_one_sentence(name: object) -> None:
    with pytest.raises(BadInput, match='the outputs are probabilities, class_index, class_name, images; "outputs" may'):
        read(ONE, outputs=[{"name": name}])


@pytest.mark.parametrize(
    ("parameters", "sentence"),
    [
        ({"classification": 3}, '"classification" of the output "probabilities" is not offered; ask for "class_name"'),
        ({"shared_memory_region": "a"}, 'the output "probabilities" cannot be written to shared memory, only to the'),
    ],
)
def test_an_output_in_a_form_not_offered_is_refused(parameters: dict, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        read(ONE, outputs=[{"name": "probabilities", "parameters": parameters}])


def test_parameters_that_change_no_answer_are_ignored() -> None:
    parameters = {"priority": 1, "timeout": 5, "sequence_id": 0, "content_type": "np"}
    assert np.array_equal(read(ONE | {"parameters": parameters}, parameters=parameters).images, IMAGES[:1])


def test_binary_files_must_match_their_lengths() -> None:
    for binary, sentence in (
        (struct.pack("<I", 5) + b"abc", "the binary data ends within an element"),
        (struct.pack("<I", 1) + b"abc", "the binary data is longer than the shape announces"),
        (png(IMAGES[0]), "the binary data ends within an element; each image file must follow its length in 4 bytes"),
    ):
        with pytest.raises(BadInput, match=sentence):
            read(sized(FILE, len(binary)), binary)


def test_the_images_are_an_output_only_if_a_request_names_them() -> None:
    model = ModelSpec("flower-sample", 1, ["T-shirt/top", "Coat"])
    probabilities = np.array([[0.25, 0.75]], np.float32)
    for outputs, names in (
        ([], ["probabilities", "class_index", "class_name"]),
        ([{"name": "images"}, {"name": "class_name"}], ["images", "class_name"]),
    ):
        body, _ = v2_rest.answer(read(ONE, outputs=outputs), probabilities, model)
        answer = {output["name"]: output for output in json.loads(body)["outputs"]}
        assert list(answer) == names and answer["class_name"]["data"] == ["Coat"]
    assert answer["images"] == ONE | {"shape": [1, 28, 28, 1]}


def test_the_images_can_be_a_binary_output() -> None:
    request = read(ONE, outputs=[{"name": "images", "parameters": {"binary_data": True}}], id="7")
    body, length = v2_rest.answer(request, np.eye(1, 2, dtype=np.float32), ModelSpec("a", 1, ["x", "y"]))
    output = {"name": "images", "shape": [1, 28, 28, 1], "datatype": "UINT8", "parameters": {"binary_data_size": 784}}
    assert json.loads(body[:length]) == {"model_name": "a", "model_version": "1", "id": "7", "outputs": [output]}
    assert body[length:] == IMAGES[:1].tobytes()
