"""The features of classified images whose distributions are compared: at publication, and in the predictor's window."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from distml.publishing.drift import image_intensity

# An image's mean intensity, its predicted class, and the largest of its probabilities.
FEATURES = INTENSITY, CLASS, CONFIDENCE = "intensity", "class", "confidence"
# Most images of a trained model are above 0.9, so the bins there are narrower.
CONFIDENCE_EDGES = np.array([0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99])
_EDGES = {INTENSITY: image_intensity.EDGES, CONFIDENCE: CONFIDENCE_EDGES}
# The entry of a version's manifest.
DRIFT_REFERENCE = "drift_reference"


@dataclass(frozen=True)
class Counts:
    """Numbers of images per bin of each feature: int64 arrays, by the names of the features."""

    bins: dict[str, np.ndarray]

    @property
    def images(self) -> int:
        return int(self.bins[CLASS].sum())

    def __add__(self, other: "Counts") -> "Counts":
        return Counts({feature: counts + other.bins[feature] for feature, counts in self.bins.items()})

    def to_json(self) -> dict[str, list[int]]:
        return {feature: counts.tolist() for feature, counts in self.bins.items()}


def count(intensities: np.ndarray, probabilities: np.ndarray) -> Counts:
    """Count images by their mean intensities, float [n], and their probabilities, float32 [n, classes]."""
    classes = probabilities.argmax(axis=1)
    confidence = np.searchsorted(CONFIDENCE_EDGES, probabilities[np.arange(len(classes)), classes])
    return Counts(
        {
            INTENSITY: image_intensity.histogram(intensities),
            CLASS: np.bincount(classes, minlength=probabilities.shape[1]),
            CONFIDENCE: np.bincount(confidence, minlength=len(CONFIDENCE_EDGES) + 1),
        }
    )


def nothing(classes: int) -> Counts:
    """Return the counts of no images."""
    return count(np.empty(0), np.empty((0, classes), np.float32))


def from_json(document: dict[str, list[int]], classes: int) -> Counts:
    """Return what `Counts.to_json` returned.

    Raises:
        LookupError, TypeError, ArithmeticError: the document has another form.
        ValueError: the document has another form or other bins, or its features disagree.
    """
    counts = Counts({feature: np.array(document[feature], np.int64) for feature in FEATURES})
    if any(counts.bins[feature].shape != bins.shape for feature, bins in nothing(classes).bins.items()):
        raise ValueError("the bins are not those of this release")
    if any(bins.sum() != counts.images or bins.min() < 0 for bins in counts.bins.values()):
        raise ValueError("the features have different numbers of images")
    return counts


def to_manifest(counts: Counts) -> dict[str, Any]:
    """Return the entry of a version's manifest: the counts, and the edges of the bins."""
    edges = {feature: each.tolist() for feature, each in _EDGES.items()}
    return {DRIFT_REFERENCE: {"edges": edges, "counts": counts.to_json()}}


def from_manifest(manifest: dict[str, Any], classes: int) -> Counts | None:
    """Return the counts in a version's manifest; None if it has none, or other bins than this release."""
    try:
        entry = manifest[DRIFT_REFERENCE]
        counts = from_json(entry["counts"], classes)
        same_edges = entry["edges"] == {feature: each.tolist() for feature, each in _EDGES.items()}
    except (LookupError, TypeError, ValueError, ArithmeticError):
        return None
    return counts if same_edges and counts.images > 0 else None
