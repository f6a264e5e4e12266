"""The reference images of a version: labelled validation images with the SavedModel's answers.

A predictor compares a newer version with the one that answers on these images, before any request reaches it.
"""

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


def read(folder: Path) -> ReferenceImages:
    """Read the reference images of the version in `folder`.

    Raises:
        StepError: they are missing or malformed.
        OSError: the disk fails.
    """
    try:
        with np.load(folder / REFERENCE, allow_pickle=False) as arrays:
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
