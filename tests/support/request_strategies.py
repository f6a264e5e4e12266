"""Hypothesis strategies for arbitrary and nearly valid requests, and a check of what a reader makes of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from distml.protocol.contract import BadInput

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(["instances", "image_bytes", "b64", "images", "inputs", "shape", "data", "parameters", "name"])
NEARLY_VALID = st.recursive(
    JSON | st.sampled_from(["image_bytes", "images", "BYTES", "UINT8", [1, 28, 28, 1], [1], 2**70, -1, "aGVsbG8="]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)
TENSOR = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["images", "image_bytes"]) | JSON,
        "datatype": st.sampled_from(["UINT8", "BYTES"]) | JSON,
        "shape": st.sampled_from([[1, 28, 28, 1], [1], [2, 1], [0], [-1], [2**64]]) | JSON,
    },
    optional={
        "data": NEARLY_VALID,
        "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(0, 9) | JSON}),
    },
)


def check(read: Callable[..., Any], *arguments: object) -> None:
    """Check that `read` returns images or raises BadInput with one readable sentence."""
    try:
        images = read(*arguments)
    except BadInput as error:
        sentence = str(error)
        assert 10 < len(sentence) < 300 and "\n" not in sentence and "Error" not in sentence and "0x" not in sentence
    else:
        images = getattr(images, "images", images)
        assert images.dtype == np.uint8 and images.shape[1:] == (28, 28, 1) and len(images)
