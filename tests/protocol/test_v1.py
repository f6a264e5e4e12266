"""Arbitrary V1 requests: the reader returns images, or one sentence for the sender."""

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from distml.protocol import v1
from distml.protocol.contract import BadInput
from support.request_strategies import JSON, NEARLY_VALID, check


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | (JSON | NEARLY_VALID).map(lambda document: json.dumps(document).encode()))
@example(b'{"instances": [{"image_bytes": {"b64": "\\ud800"}}]}')
def test_any_v1_body_gives_images_or_one_sentence(body: bytes) -> None:
    check(v1.read_request, body)


@settings(max_examples=300, deadline=None)
@given(JSON | NEARLY_VALID, st.lists(JSON | NEARLY_VALID, max_size=3))
def test_any_v1_instance_gives_images_or_one_sentence(instance: object, more: list[object]) -> None:
    check(v1.read_request, json.dumps({"instances": [instance, *more]}).encode())


def test_the_largest_request_is_read_but_more_json_values_are_refused() -> None:
    pixels = np.full((256, 28, 28, 1), 255, np.uint8)
    body = json.dumps({"instances": pixels.tolist()}).encode()
    assert np.array_equal(v1.read_request(body), pixels)
    for too_many in (b"[" + b"1," * 500_001 + b"1]", b"[" + b"[]" * 500_001 + b"]", b"{" * 500_001):
        with pytest.raises(BadInput, match="the JSON has more than 500,000 values"):
            v1.read_request(too_many)
