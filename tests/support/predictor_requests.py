"""Parts of requests to a predictor and of its answers."""

import base64
from collections.abc import Callable
from typing import Any

import numpy as np

# The SavedModel as a function: from a list of image files, or an array of images, to probabilities.
Ask = Callable[[Any], np.ndarray]
NOT_AN_IMAGE = "the image is not a JPEG or PNG file that can be read"
IMAGES = np.random.default_rng(7).integers(0, 256, (3, 28, 28, 1), np.uint8)


def file_instance(content: bytes) -> dict:
    """Return an instance of a V1 request that holds an image file."""
    return {"image_bytes": {"b64": base64.b64encode(content).decode()}}


def v2_input(images: np.ndarray) -> dict:
    """Return the input of a V2 request that holds the pixels of `images`."""
    return {"name": "images", "datatype": "UINT8", "shape": list(images.shape), "data": images.ravel().tolist()}


def probabilities_of(answer: dict) -> np.ndarray:
    """Return the probabilities, [n, 10], of a V1 answer."""
    return np.array([prediction["probabilities"] for prediction in answer["predictions"]])
