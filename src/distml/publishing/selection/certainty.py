"""The certainty of a comparison on a finite number of images: intervals of accuracies, and tests of differences."""

import math
from collections.abc import Mapping
from statistics import NormalDist

import numpy as np

# A result this unlikely by chance alone counts as a difference between two models.
SIGNIFICANCE = 0.05


def interval(right: int, images: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return an interval, both ends 0 to 1, for the accuracy on all images of this kind.

    Wilson's score interval, which stays inside 0 to 1 (Wilson 1927, "Probable Inference, the Law of Succession, and
    Statistical Inference"). It covers the choice of the images only, not that of the seed.

    Args:
        right: number of right answers.
        images: number of images, at least 1.
        confidence: share of such intervals that contain the accuracy, 0 to 1.
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = right / images
    centre = (share + z * z / (2 * images)) / (1 + z * z / images)
    half = z / (1 + z * z / images) * math.sqrt(share * (1 - share) / images + z * z / (4 * images * images))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def mcnemar(one_right: np.ndarray, other_right: np.ndarray) -> float:
    """Return the probability, 0 to 1, of a difference at least this large between two equally accurate models.

    McNemar's exact two-sided test (McNemar 1947). The images on which exactly one of the models is right are tosses of
    a fair coin if both are equally accurate.

    Args:
        one_right: for each image whether one model is right, bool [n].
        other_right: the same for the other model, on the same images.
    """
    only_one = int(np.sum(one_right & ~other_right))
    only_other = int(np.sum(other_right & ~one_right))
    tosses = only_one + only_other
    tail = ways = 1  # of the tosses to show no head; then one head more each time, up to the rarer result
    for heads in range(1, min(only_one, only_other) + 1):
        ways = ways * (tosses - heads + 1) // heads
        tail += ways
    return min(1.0, 2 * tail / 2**tosses)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return each p-value adjusted for the number of tests (Holm 1979), by the same keys.

    With it, the probability that any of several equal models seems different stays below `SIGNIFICANCE`.
    """
    adjusted: dict[str, float] = {}
    lowest = 0.0
    for rank, key in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        lowest = max(lowest, min(1.0, (len(p_values) - rank) * p_values[key]))
        adjusted[key] = lowest
    return adjusted
