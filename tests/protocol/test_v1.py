"""V1 requests: each accepted form gives the same images, and any other body one sentence for its sender."""

import base64
import json
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from distml.model.image_decoding import png
from distml.protocol import v1
from distml.protocol.contract import BadInput, ModelSpec
from support.predictor_requests import IMAGES
from support.project import ROOT
from support.request_strategies import JSON, NEARLY_VALID, check

PAGE = (ROOT / "docs/serving.md").read_text()
Form = Callable[[np.ndarray], Any]


def text(image: np.ndarray) -> str:
    return base64.b64encode(png(image)).decode()


# The forms of one image, [28, 28, 1].
FILES: dict[str, Form] = {
    "file": lambda image: {"b64": text(image)},
    "file as a string": text,
    "file as a data URL": lambda image: f"data:image/png;base64,{text(image)}",
    "file in lines": lambda image: {"b64": base64.encodebytes(png(image)).decode()},
}
PIXELS: dict[str, Form] = {
    "pixels": lambda image: image[..., 0].tolist(),
    "pixels with an axis of channels": lambda image: image.tolist(),
    "pixels with an axis of images": lambda image: image[None, ..., 0].tolist(),
    "pixels in one list": lambda image: image.ravel().tolist(),
    "pixels as floats": lambda image: image[..., 0].astype(float).tolist(),
}


def named(name: str, make: Form) -> Form:
    return lambda image: {name: make(image)}


NAMED = {f"named {form}": named("image_bytes", make) for form, make in FILES.items()}
NAMED |= {f"named {form}": named("images", make) for form, make in PIXELS.items()}
ROWS = FILES | PIXELS | NAMED


def read(document: Any) -> v1.V1Request:
    return v1.read_request(document if isinstance(document, bytes) else json.dumps(document).encode())


def refusal(document: Any) -> str:
    with pytest.raises(BadInput) as refused:
        read(document)
    return str(refused.value)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(sorted(ROWS)), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_rows_in_any_mix_of_forms_give_their_images(forms: list[str], seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 256, (len(forms), 28, 28, 1), np.uint8)
    request = read({"instances": [ROWS[form](image) for form, image in zip(forms, images, strict=True)]})
    assert np.array_equal(request.images, images) and not request.columnar


@pytest.mark.parametrize("form", FILES | PIXELS)
def test_a_column_with_or_without_a_name_gives_its_images(form: str) -> None:
    column = [ROWS[form](image) for image in IMAGES]
    name, signature = ("image_bytes", "serving_default") if form in FILES else ("images", "serving_arrays")
    for document in ({"inputs": column}, {"inputs": {name: column}}):
        for more in ({}, {"signature_name": signature}, {"instances": None, "signature_name": None}):
            request = read(document | more)
            assert np.array_equal(request.images, IMAGES) and request.columnar


@pytest.mark.parametrize("form", ROWS)
def test_a_signature_accepts_only_its_own_input(form: str) -> None:
    matching, other = ("serving_default", "serving_arrays") if "file" in form else ("serving_arrays", "serving_default")
    rows = {"instances": [ROWS[form](image) for image in IMAGES]}
    assert np.array_equal(read(rows | {"signature_name": matching}).images, IMAGES)
    assert f"the input of {other}, takes " in refusal(rows | {"signature_name": other})


def test_each_form_on_the_serving_page_gives_its_image() -> None:
    image = IMAGES[:1]
    section = PAGE.partition("### TensorFlow Serving's REST API")[2].partition("Where this differs")[0]
    forms = re.findall(r'`(\{"(?:instances|inputs)".*?\})`', section)
    assert len(forms) == 8
    for form in forms:
        body = re.sub(r"\[\[0, .*…\], …\]", json.dumps(image[0, ..., 0].tolist()), form)
        request = v1.read_request(body.replace("…", text(image[0])).encode())
        assert np.array_equal(request.images, image) and request.columnar == ("inputs" in form)


def test_one_image_without_a_list_around_it_is_refused() -> None:
    sentence = "the request has one image in place of a list of images; put its pixels into another list"
    for form in ("pixels", "pixels with an axis of channels", "pixels in one list"):
        image = PIXELS[form](IMAGES[0])
        for document in ({"instances": image}, {"inputs": image}, {"inputs": {"images": image}}):
            assert refusal(document) == sentence


def test_a_second_image_beside_b64_is_refused() -> None:
    file, other = FILES["file"](IMAGES[0]), FILES["file"](IMAGES[1])
    for name, second in (("image_bytes", other), ("images", other), ("images", IMAGES[1].tolist()), ("images", None)):
        row = file | {name: second}
        for document in (
            {"instances": [row]},
            {"instances": [{"image_bytes": row}]},
            {"inputs": {"image_bytes": [row]}},
        ):
            assert refusal(document) == f'the image has both "b64" and "{name}"; send only one of them'


def test_unknown_names_of_a_row_are_named_in_at_most_40_characters() -> None:
    rule = 'an image must be a file in base64, {"b64": "..."}, or 28 lists of 28 pixels; either may be named, as'
    rows: list[tuple[Any, str]] = [
        ({"image": "iVBO"}, "'image' is unknown; "),
        ({"image_bytes": {"base64": "iVBO"}}, "'base64' is unknown; "),
        ({"key": 7, "image": []}, "'key, image' is unknown; "),
        ({"a" * 99: 1}, f"'{'a' * 36}... is unknown; "),
        ({}, ""),
        ({"b64": None, "key": 7}, ""),
        ({"image_bytes": {"b64": 5}}, ""),
    ]
    for row, start in rows:
        for document in ({"instances": [row]}, {"inputs": [row]}):
            assert refusal(document).startswith(f"{start}{rule}")


def test_other_keys_of_a_row_are_ignored() -> None:
    for form in NAMED | {"file": FILES["file"]}:
        request = read({"instances": [ROWS[form](image) | {"key": 7, "label": "Coat"} for image in IMAGES]})
        assert np.array_equal(request.images, IMAGES)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | (JSON | NEARLY_VALID).map(lambda document: json.dumps(document).encode()))
@example(b'{"instances": [{"image_bytes": {"b64": "\\ud800"}}]}')
def test_any_v1_body_gives_images_or_one_sentence(body: bytes) -> None:
    check(v1.read_request, body)


def row(form: str) -> Any:
    return ROWS[form](IMAGES[0])


IMAGE_ROWS = st.sampled_from(sorted(ROWS)).map(row) | NEARLY_VALID
LISTS = st.lists(IMAGE_ROWS, max_size=3) | NEARLY_VALID
NAMES = st.sampled_from(["serving_default", "serving_arrays", "", None])


@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "instances": LISTS,
            "inputs": LISTS | st.fixed_dictionaries({}, optional={"image_bytes": LISTS, "images": LISTS}),
            "signature_name": NAMES | JSON,
        },
    )
)
def test_any_rows_and_columns_give_images_or_one_sentence(document: dict[str, Any]) -> None:
    check(v1.read_request, json.dumps(document).encode())


def test_the_largest_request_is_read_but_more_json_values_are_refused() -> None:
    pixels = np.full((256, 28, 28, 1), 255, np.uint8)
    assert np.array_equal(read({"instances": pixels.tolist()}).images, pixels)
    for too_many in (b"[" + b"1," * 500_001 + b"1]", b"[" + b"[]" * 500_001 + b"]", b"{" * 500_001):
        assert refusal(too_many) == "the JSON has more than 500,000 values, more than any request needs"


def test_numbers_that_json_does_not_have_are_named() -> None:
    for number in (float("nan"), float("inf"), float("-inf")):
        sentence = refusal({"instances": [[[0.0] * 27 + [number]] * 28]})
        assert sentence.startswith("the body is not valid JSON: ")
        assert sentence.endswith("; JSON has no NaN and no Infinity")
    assert "Infinity" not in refusal(b'{"info": inform}')


def test_an_answer_has_rows_or_columns_of_the_same_outputs() -> None:
    probabilities = np.array([[0.25, 0.75], [1, 0]], np.float32)
    model = ModelSpec("fashion", 3, ["Bag", "Coat"])
    facts = {"model_name": "fashion", "model_version": "3"}
    assert json.loads(v1.answer(v1.V1Request(IMAGES, False), probabilities, model)) == facts | {
        "predictions": [
            {"class_name": "Coat", "class_index": 1, "probabilities": [0.25, 0.75]},
            {"class_name": "Bag", "class_index": 0, "probabilities": [1.0, 0.0]},
        ]
    }
    assert json.loads(v1.answer(v1.V1Request(IMAGES, True), probabilities, model)) == facts | {
        "outputs": {"class_name": ["Coat", "Bag"], "class_index": [1, 0], "probabilities": [[0.25, 0.75], [1.0, 0.0]]}
    }
