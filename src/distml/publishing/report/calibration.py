"""The calibration of a model: whether its probabilities are as high as its answers are right."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

BINS = 15


class Bin(NamedTuple):
    """The images whose most probable class has a probability above `low`, up to `high`.

    Attributes:
        low: the lower end of the bin, 0 to 1.
        high: the upper end, included.
        images: number of images.
        right: number of right answers.
        confidence: mean probability of the predicted classes, 0 to 1.
    """

    low: float
    high: float
    images: int
    right: int
    confidence: float

    @property
    def accuracy(self) -> float:
        """The share of right answers, 0 to 1."""
        return self.right / self.images


def bins(probabilities: np.ndarray, labels: np.ndarray, count: int = BINS) -> list[Bin]:
    """Return the bins that have images, ascending, of `count` equal ones between 0 and 1.

    The bins are those of Guo et al. 2017, "On Calibration of Modern Neural Networks".

    Args:
        probabilities: float32 [n, classes].
        labels: the true classes, int64 [n].
        count: number of bins.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == labels
    numbers = np.clip(np.ceil(confidence * count).astype(int) - 1, 0, count - 1)
    found = []
    for number in np.unique(numbers):
        inside = numbers == number
        mean = float(confidence[inside].mean())
        found.append(Bin(number / count, (number + 1) / count, int(inside.sum()), int(right[inside].sum()), mean))
    return found


def mean_confidence(found: Sequence[Bin]) -> float:
    """Return the mean confidence over all images, 0 to 1."""
    return sum(one.images * one.confidence for one in found) / sum(one.images for one in found)


def expected_error(found: Sequence[Bin]) -> float:
    """Return the expected calibration error, 0 to 1: the mean difference of confidence and accuracy over all images.

    Guo et al. 2017, equation 3.
    """
    images = sum(one.images for one in found)
    return sum(one.images * abs(one.accuracy - one.confidence) for one in found) / images
