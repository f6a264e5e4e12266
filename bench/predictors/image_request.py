"""The part that the peers share with the predictor: the engine, the decoding, and the content of an answer."""

import base64
import os
from pathlib import Path
from typing import Any

import numpy as np

from distml.model import image_decoding
from distml.model.lite_engine import LiteEngine

# The folder of the published version's LiteRT model, and its class names separated by "|".
MODEL, CLASS_NAMES = "MODEL", "CLASS_NAMES"


def load_engine() -> LiteEngine:
    return LiteEngine(Path(os.environ[MODEL]))


def class_names() -> list[str]:
    return os.environ[CLASS_NAMES].split("|")


def images_of(instances: list[dict[str, Any]]) -> np.ndarray:
    """Decode the image files of a V1 request; return uint8 [n, 28, 28, 1]."""
    return stack([base64.b64decode(instance["image_bytes"]["b64"]) for instance in instances])


def stack(files: list[bytes]) -> np.ndarray:
    """Decode image files; return uint8 [n, 28, 28, 1]."""
    return np.stack([image_decoding.decode(file) for file in files])


def predictions(probabilities: np.ndarray) -> list[dict[str, Any]]:
    """Return the predictions of a V1 answer, for probabilities, float32 [n, 10]."""
    names = class_names()
    return [
        {"class_name": names[index], "class_index": index, "probabilities": row.tolist()}
        for index, row in zip(probabilities.argmax(axis=1).tolist(), probabilities, strict=True)
    ]
