"""The reference images of a version: labelled validation images with the SavedModel's answers.

A predictor compares a newer version with the one that answers on these images, before any request reaches it.
"""

import hashlib
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distml.publishing.versions.version_files import REFERENCE
from distml.step import outcome

IMAGES_PER_CLASS = 100


@dataclass(frozen=True)
class ReferenceImages:
    """Images uint8 [n, 28, 28, 1], 0 is black, labels int64 [n], and probabilities float32 [n, classes]."""

    images: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray


def choose(labels: np.ndarray) -> np.ndarray:
    """Return the indices, ascending, of the first `IMAGES_PER_CLASS` images of each class, given labels int64 [n]."""
    return np.sort(np.concatenate([np.flatnonzero(labels == label)[:IMAGES_PER_CLASS] for label in np.unique(labels)]))


def write(folder: Path, reference: ReferenceImages) -> None:
    """Write the reference images into the folder of a version."""
    np.savez_compressed(
        folder / REFERENCE, images=reference.images, labels=reference.labels, probabilities=reference.probabilities
    )


def read(folder: Path, sha256: str) -> ReferenceImages:
    """Read the reference images of the version in `folder`; `sha256` is their hash in its verified manifest.

    Raises:
        StepError: they are missing, malformed, or changed since the manifest was verified.
        OSError: the disk fails.
    """
    try:
        content = (folder / REFERENCE).read_bytes()
        # The bytes that are hashed are those that are parsed: the file may change in between.
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError("its hash is not that of the manifest")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            reference = ReferenceImages(arrays["images"], arrays["labels"], arrays["probabilities"])
    except FileNotFoundError:
        raise outcome.StepError(f"{folder} lacks {REFERENCE}; publish again") from None
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise outcome.StepError(f"{folder / REFERENCE} is damaged; publish again") from None
    count = len(reference.labels)
    if not (
        count
        and reference.images.shape == (count, 28, 28, 1)
        and reference.images.dtype == np.uint8
        and reference.labels.ndim == 1
        and reference.probabilities.ndim == 2
        and len(reference.probabilities) == count
    ):
        raise outcome.StepError(f"{folder / REFERENCE} has arrays of wrong shapes; publish again")
    return reference
