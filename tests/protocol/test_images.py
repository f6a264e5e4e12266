"""Whatever comes in, reading a request either gives images or one sentence for whoever sent it."""

import io
import json
import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kserve import InferRequest
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest
from PIL import Image

from distml.protocol import v1, v2_grpc, v2_rest
from distml.protocol.contract import BadInput
from distml.protocol.images import PixelBudget
from support.images import image_file, png_file

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
WORDS = st.sampled_from(["instances", "image_bytes", "b64", "images", "inputs", "shape", "data", "parameters", "name"])
CLOSE = st.recursive(
    JSON | st.sampled_from(["image_bytes", "images", "BYTES", "UINT8", [1, 28, 28, 1], [1], 2**70, -1, "aGVsbG8="]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=5),
    max_leaves=20,
)
TENSOR = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["images", "image_bytes"]) | JSON,
        "datatype": st.sampled_from(["UINT8", "BYTES"]) | JSON,
        "shape": st.sampled_from([[1, 28, 28, 1], [1], [2, 1], [0], [-1], [2**64]]) | JSON,
    },
    optional={"data": CLOSE, "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(0, 9) | JSON})},
)
IMAGE_FILES = [image_file("RGB", "JPEG", 40, 30), image_file("RGBA", "PNG", 30, 40), image_file("P", "PNG", 28, 28)]


def check(read, *arguments) -> None:
    """`read` gives images, or raises BadInput with one readable sentence."""
    try:
        images = read(*arguments)
    except BadInput as error:
        sentence = str(error)
        assert 10 < len(sentence) < 300 and "\n" not in sentence and "Error" not in sentence and "0x" not in sentence
    else:
        images = getattr(images, "images", images)
        assert images.dtype == np.uint8 and images.shape[1:] == (28, 28, 1) and len(images)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | (JSON | CLOSE).map(lambda document: json.dumps(document).encode()))
@example(b'{"instances": [{"image_bytes": {"b64": "\\ud800"}}]}')
def test_any_v1_body_gives_images_or_one_sentence(body) -> None:
    check(v1.read_request, body)


@settings(max_examples=300, deadline=None)
@given(JSON | CLOSE, st.lists(JSON | CLOSE, max_size=3))
def test_any_v1_instance_gives_images_or_one_sentence(instance, more) -> None:
    check(v1.read_request, json.dumps({"instances": [instance, *more]}).encode())


@settings(max_examples=500, deadline=None)
@given(TENSOR, CLOSE, st.binary(max_size=20), st.sampled_from([None, 0, 1]), st.booleans())
def test_any_v2_body_gives_images_or_one_sentence(tensor, outputs, binary, shift, asks) -> None:
    head = json.dumps({"inputs": [tensor], **({"outputs": outputs} if asks else {})}).encode()
    length = None if shift is None else len(head) + shift
    check(v2_rest.read_request, head + (b"" if shift is None else binary), length)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(IMAGE_FILES), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6), st.data()
)
def test_any_damaged_image_file_gives_pixels_or_one_sentence(file, changes, data) -> None:
    content = bytearray(file)
    for at, value in changes:
        content[at % len(content)] = value
    end = data.draw(st.integers(0, len(content)))
    check(lambda: PixelBudget().decode(bytes(content[:end]))[None])


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["images", "image_bytes", ""]),
    st.sampled_from(["UINT8", "BYTES"]),
    st.lists(st.integers(-2, 2**40), max_size=4) | st.sampled_from([[1, 28, 28, 1], [1], [2]]),
    st.binary(max_size=800),
    st.booleans(),
)
def test_any_grpc_tensor_gives_images_or_one_sentence(name, datatype, shape, content, raw) -> None:
    message = ModelInferRequest(model_name="flower-sample")
    tensor = message.inputs.add(name=name, datatype=datatype, shape=shape)
    if raw:
        message.raw_input_contents.append(content)
    else:
        tensor.contents.bytes_contents.append(content)
        tensor.contents.uint_contents.extend(content)
    check(v2_grpc.read_images, InferRequest.from_grpc(message))


@pytest.mark.parametrize("name", [{}, [], None, "logits"])
def test_an_output_that_is_none_of_the_models_is_one_sentence(name: object) -> None:
    tensor = {"name": "images", "datatype": "UINT8", "shape": [1, 28, 28], "data": [0] * 784}
    body = json.dumps({"inputs": [tensor], "outputs": [{"name": name}]}).encode()
    with pytest.raises(BadInput, match='the outputs are probabilities, class_index, class_name; "outputs" may name'):
        v2_rest.read_request(body, None)


def test_binary_files_must_fill_their_lengths() -> None:
    head = {"name": "image_bytes", "datatype": "BYTES", "shape": [1]}
    for binary, sentence in (
        (struct.pack("<I", 5) + b"abc", "the binary data ends within an element"),
        (struct.pack("<I", 1) + b"abc", "there is more binary data than the shape says"),
        (b"ab", "the binary data ends within an element"),
    ):
        text = json.dumps({"inputs": [head | {"parameters": {"binary_data_size": len(binary)}}]}).encode()
        with pytest.raises(BadInput, match=sentence):
            v2_rest.read_request(text + binary, len(text))


def test_the_largest_request_is_read_and_json_of_more_values_is_not() -> None:
    pixels = np.full((256, 28, 28, 1), 255, np.uint8)
    body = json.dumps({"instances": pixels.tolist()}).encode()
    assert np.array_equal(v1.read_request(body), pixels)
    for many in (b"[" + b"1," * 500_001 + b"1]", b"[" + b"[]" * 500_001 + b"]", b"{" * 500_001):
        with pytest.raises(BadInput, match="the JSON holds more than 500,000 values"):
            v1.read_request(many)


def test_the_length_of_a_grpc_request_is_that_of_its_files_or_numbers() -> None:
    message = ModelInferRequest(model_name="flower-sample")
    tensor = message.inputs.add(name="image_bytes", datatype="BYTES", shape=[2])
    tensor.contents.bytes_contents.extend([b"a" * 1000, b"b" * 500])
    assert v2_grpc.length_of(InferRequest.from_grpc(message)) == 1500
    numbers = ModelInferRequest(model_name="flower-sample")
    numbers.inputs.add(name="images", datatype="UINT8", shape=[3]).contents.uint_contents.extend([1, 2, 3])
    assert v2_grpc.length_of(InferRequest.from_grpc(numbers)) == 24


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("side", [12_000, 16_000])
def test_an_image_that_is_too_large_is_refused_without_a_warning(side: int) -> None:
    with pytest.raises(BadInput, match="the image is too large"):
        PixelBudget().decode(png_file((side, side), 8, 0, 0, (b"IDAT", b"")))


def test_what_takes_long_to_read_is_bad_input() -> None:
    scans = image_file("RGB", "JPEG", 40, 30)[:-2] + b"\xff\xda" * 64
    with pytest.raises(BadInput, match="the image has more than 64 scans; save it as another JPEG"):
        PixelBudget().decode(scans)


def test_the_pixels_of_all_files_of_a_request_are_bounded_together() -> None:
    file = io.BytesIO()
    Image.new("1", (4096, 4096)).save(file, "PNG")
    budget = PixelBudget()
    for _ in range(2):
        assert budget.decode(file.getvalue()).shape == (28, 28, 1)
    with pytest.raises(BadInput, match="the image is too large"):
        budget.decode(file.getvalue())
