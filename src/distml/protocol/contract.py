"""The contract between predictor and clients: the model's name, inputs and outputs, and the error for bad input.

Only the standard library is imported, as in `client`.
"""

from enum import StrEnum
from typing import NamedTuple

# The model's name unless an InferenceService has another name.
MODEL_NAME = "flower-sample"
# The inputs: image files of any size, or pixels of 28x28 images. A request has one of the two.
FILES, PIXELS = "image_bytes", "images"
# The datatype of each output, in the order of an answer.
OUTPUTS = {"probabilities": "FP32", "class_index": "INT64", "class_name": "BYTES"}
# A further output, for requests that name it: the images as the model sees them.
ON_REQUEST = {PIXELS: "UINT8"}


class ModelSpec(NamedTuple):
    """The model that answers, as its answers name it; `class_names` is in the order of the class indices."""

    name: str
    version: int
    class_names: list[str]


class Stage(StrEnum):
    """The stages of a newer version in a predictor: on trial until it is released or rejected.

    A trial that ends for another reason, such as a still newer version, is `ended`.
    """

    CHECKING = "checking"
    SHADOW = "shadow"
    PROBATION = "probation"
    RELEASED = "released"
    REJECTED = "rejected"
    ENDED = "ended"


class Release(NamedTuple):
    """The stage that a version has reached in a predictor; `reason` is a sentence, or "" while nothing is decided."""

    version: int
    digest: str
    stage: Stage
    reason: str


class BadInput(ValueError):
    """The request is invalid; the message is one sentence for its sender."""


def shortened(value: str | list[int]) -> str:
    """Write a text or numbers from a request for a message: as Python writes them, in at most 40 characters."""
    text = repr(value[:40])
    return text if len(text) <= 40 else f"{text[:37]}..."


def counted(number: int, noun: str) -> str:
    """Write a number with its noun, in the plural unless the number is 1."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
