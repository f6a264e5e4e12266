"""Arbitrary V2 requests: the reader returns images, or one sentence for the sender."""

import json
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distml.protocol import v2_rest
from distml.protocol.contract import BadInput
from support.request_strategies import NEARLY_VALID, TENSOR, check


@settings(max_examples=500, deadline=None)
@given(TENSOR, NEARLY_VALID, st.binary(max_size=20), st.sampled_from([None, 0, 1]), st.booleans())
def test_any_v2_body_gives_images_or_one_sentence(
    tensor: dict[str, object], outputs: object, binary: bytes, shift: int | None, has_outputs: bool
) -> None:
    head = json.dumps({"inputs": [tensor], **({"outputs": outputs} if has_outputs else {})}).encode()
    length = None if shift is None else len(head) + shift
    check(v2_rest.read_request, head + (b"" if shift is None else binary), length)


@pytest.mark.parametrize("name", [{}, [], None, "logits"])
def test_an_unknown_output_is_refused_in_one_sentence(name: object) -> None:
    tensor = {"name": "images", "datatype": "UINT8", "shape": [1, 28, 28], "data": [0] * 784}
    body = json.dumps({"inputs": [tensor], "outputs": [{"name": name}]}).encode()
    with pytest.raises(BadInput, match='the outputs are probabilities, class_index, class_name; "outputs" may name'):
        v2_rest.read_request(body, None)


def test_binary_files_must_match_their_lengths() -> None:
    head = {"name": "image_bytes", "datatype": "BYTES", "shape": [1]}
    for binary, sentence in (
        (struct.pack("<I", 5) + b"abc", "the binary data ends within an element"),
        (struct.pack("<I", 1) + b"abc", "the binary data is longer than the shape announces"),
        (b"ab", "the binary data ends within an element"),
    ):
        text = json.dumps({"inputs": [head | {"parameters": {"binary_data_size": len(binary)}}]}).encode()
        with pytest.raises(BadInput, match=sentence):
            v2_rest.read_request(text + binary, len(text))
