"""V2's input tensor: which shapes are images, and that every form of the same pixels is the same request."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest

from distml.protocol import v2_grpc, v2_rest, v2_tensors
from distml.protocol.contract import BadInput
from distml.protocol.v2_tensors import NUMBERS

PIXEL_SHAPES = {
    1: [[28, 28], [28, 28, 1], [784], [784, 1], [1, 784], [1, 28, 28], [1, 1, 28, 28], [1, 28, 1, 28, 1], [28, 1, 28]],
    3: [[3, 28, 28, 1], [3, 28, 28], [3, 1, 28, 28], [3, 784], [3, 1, 784], [3, 28, 28, 1, 1]],
    28: [[28, 28, 28], [28, 784], [28, 1, 28, 28]],
    256: [[256, 28, 28], [256, 784]],
}
MISFITS = [
    *([1, 28, 28, 3], [28, 28, 3], [1, 3, 28, 28], [3, 28, 28, 3], [1, 28, 28, 4]),
    *(
        [1],
        [1, 1],
        [14, 56],
        [1, 14, 56],
        [1, 32, 32, 1],
        [224, 224],
        [2, 2, 28, 28],
        [27, 28],
        [28, 0, 28],
        [28, 28, 0],
    ),
]


def misfit(shape: str) -> str:
    needed = "pixels need [n, 28, 28, 1], [n, 28, 28] or [n, 784], in grey"
    return f"the shape {shape} does not fit; {needed}; image files (datatype BYTES) may have any size and colour"


@pytest.mark.parametrize(("count", "shape"), [(count, shape) for count, all_ in PIXEL_SHAPES.items() for shape in all_])
def test_a_shape_of_pixels_tells_the_number_of_images(count: int, shape: list[int]) -> None:
    assert v2_tensors.describe("input-0", "fp32", shape, {}) == ("FP32", count)


@pytest.mark.parametrize("shape", MISFITS)
def test_a_shape_that_is_not_that_of_images_is_refused(shape: list[int]) -> None:
    with pytest.raises(BadInput) as caught:
        v2_tensors.describe("images", "UINT8", shape, {})
    assert str(caught.value) == misfit(str(shape))


@pytest.mark.parametrize("shape", [[2], [2, 1], [2, 1, 1]])
def test_a_shape_of_files_tells_their_number(shape: list[int]) -> None:
    assert v2_tensors.describe("input-0", "bytes", shape, {}) == ("BYTES", 2)


@pytest.mark.parametrize(
    ("datatype", "shape", "sentence"),
    [
        ("BYTES", [1, 2], "the shape [1, 2] does not fit; image files need [n], for n files"),
        ("BYTES", [0], "the request has no images"),
        ("BYTES", [257], "the request has 257 images; at most 256 are answered at once"),
        ("UINT8", [0, 28, 28], "the request has no images"),
        ("UINT8", [784, 784], "the request has 784 images; at most 256 are answered at once"),
        ("UINT8", [-1, 28, 28], "the shape [-1, 28, 28] has a negative length; each must be that of the data sent"),
        ("UINT8", [2**62] * 9, misfit("[4611686018427387904, 461168601842738...")),
        ("FP32", [7] * 999, misfit("[7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, ...")),
        (
            "BYTES",
            [1, 28] * 9,
            "the shape [1, 28, 1, 28, 1, 28, 1, 28, 1, 28, 1... does not fit; image files need [n], for n files",
        ),
        ("UINT8", [True, 28, 28], 'the input\'s "shape" must be a list of whole numbers, such as [1, 28, 28, 1]'),
    ],
)
def test_each_fault_of_a_shape_has_its_own_sentence(datatype: str, shape: list[int], sentence: str) -> None:
    with pytest.raises(BadInput) as caught:
        v2_tensors.describe("input-0", datatype, shape, {})
    assert str(caught.value) == sentence


@pytest.mark.parametrize("datatype", NUMBERS)
def test_a_mask_of_0_and_1_is_accepted_only_as_integers(datatype: str) -> None:
    mask = np.eye(28, dtype=NUMBERS[datatype])
    head = {"name": "mask", "datatype": datatype, "shape": [28, 28]}
    message = ModelInferRequest(raw_input_contents=[mask.tobytes()])
    message.inputs.add(**head)
    body = json.dumps({"inputs": [head | {"data": mask.astype(int).tolist()}]}).encode()
    for read in (lambda: v2_grpc.read_request(message), lambda: v2_rest.read_request(body, None)):
        if datatype.startswith("FP"):
            with pytest.raises(BadInput, match="these are between 0 and 1, such as"):
                read()
        else:
            assert np.array_equal(read().images[0, ..., 0], mask)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(list(NUMBERS)), st.sampled_from([1, 3]), st.data(), st.booleans())
def test_the_same_pixels_in_every_form_are_the_same_images(
    datatype: str, count: int, data: st.DataObject, is_lower: bool
) -> None:
    shape = data.draw(st.sampled_from(PIXEL_SHAPES[count]))
    pixels = np.random.default_rng(count).integers(0, 128, (count, 28, 28, 1), np.uint8)
    tensor = pixels.reshape(shape).astype(NUMBERS[datatype])
    binary = tensor.tobytes()
    head = {"name": "input-0", "datatype": datatype.lower() if is_lower else datatype, "shape": shape}
    flat, nested = (
        json.dumps({"inputs": [head | {"data": values}]}) for values in (tensor.ravel().tolist(), tensor.tolist())
    )
    sized = json.dumps({"inputs": [head | {"parameters": {"binary_data_size": len(binary)}}]}).encode()
    message = ModelInferRequest(raw_input_contents=[binary])
    message.inputs.add(**head)
    for request in (
        v2_rest.read_request(flat.encode(), None),
        v2_rest.read_request(nested.encode(), None),
        v2_rest.read_request(sized + binary, len(sized)),
        v2_grpc.read_request(message),
    ):
        assert np.array_equal(request.images, pixels)
