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
DATATYPES = st.sampled_from(["UINT8", "BYTES", "FP32", "fp64", "Int16", "BOOL", "BF16", ""])
SHAPES = st.sampled_from(
    [[1, 28, 28, 1], [28, 28], [784], [1, 1, 784], [1], [2, 1], [0], [-1], [1, 3, 28, 28], [2**40]]
)
PIXELS = st.sampled_from([[0] * 784, [7.0] * 784, [0.5] * 784, [[255] * 28] * 28])
TENSOR = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["images", "image_bytes", "input-0"]) | JSON,
        "datatype": DATATYPES | JSON,
        "shape": SHAPES | JSON,
    },
    optional={
        "data": NEARLY_VALID | PIXELS,
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
