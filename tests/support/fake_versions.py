"""Versions with fake engines, whose answers follow from an image's first pixels, for tests of releases."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from distml.publishing.versions import reference_images
from distml.publishing.versions.reference_images import ReferenceImages
from distml.publishing.versions.version_files import REFERENCE
from distml.serving.release.served_version import ServedVersion
from distml.step.atomic_files import sha256_of_file

Engine = Callable[[np.ndarray], np.ndarray]
NAMES = [str(label) for label in range(10)]
LABELS = np.arange(1000) % 10
# The first pixel is the label; the second marks an image that a broken version cannot classify.
IMAGES = np.zeros((1000, 28, 28, 1), np.uint8)
IMAGES[:, 0, 0, 0] = LABELS
POISON = IMAGES[:1].copy()
POISON[:, 0, 1] = 1


def right(images: np.ndarray) -> np.ndarray:
    """Classify an image by its first pixel, with certainty."""
    return np.eye(10, dtype=np.float32)[images[:, 0, 0, 0]]


def wrong_for_class_3(images: np.ndarray) -> np.ndarray:
    return np.eye(10, dtype=np.float32)[np.where(images[:, 0, 0, 0] == 3, 5, images[:, 0, 0, 0])]


def broken_by_poison(images: np.ndarray) -> np.ndarray:
    if images[:, 0, 1].any():
        raise RuntimeError("index out of bounds\nin node 7")
    return right(images)


def nan_for_poison(images: np.ndarray) -> np.ndarray:
    return np.where(images[:, 0, 1].any(axis=1, keepdims=True), np.float32("nan"), right(images))


def busy(seconds: float) -> Engine:
    """Return an engine that computes for `seconds`."""

    def classify(images: np.ndarray) -> np.ndarray:
        until = time.thread_time() + seconds
        while time.thread_time() < until:
            pass
        return right(images)

    return classify


def version(number: int, engine: Engine, names: list[str] = NAMES) -> ServedVersion:
    return ServedVersion(number, {"class_names": names, "digest": f"digest {number}", "model": "plain"}, engine)


def write_reference(folder: Path, engine: Engine, count: int = 1000) -> dict[str, str]:
    """Write the first `count` images with the engine's answers as reference images; return the manifest's `files`."""
    (folder / "assets.extra").mkdir(exist_ok=True)
    reference = ReferenceImages(IMAGES[:count], LABELS[:count], engine(IMAGES[:count]))
    reference_images.write(folder, reference)
    return {REFERENCE: sha256_of_file(folder / REFERENCE)}
