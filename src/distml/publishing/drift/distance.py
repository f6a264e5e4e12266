"""The distance between two distributions of a feature, and how surely it is more than chance.

The test is the two-sample chi-square test on counts (Numerical Recipes, third edition, chapter 14). Its p-value is
corrected for the number of features and for repeated looks.
"""

import math
from typing import NamedTuple

import numpy as np

from distml.publishing.drift.features import Counts

# Neighbouring bins are merged until each has this share of the reference, so that the test holds for 500 images.
LEAST_SHARE = 0.05


class FeatureDrift(NamedTuple):
    """The drift of one feature.

    Attributes:
        feature: its name.
        distance: the total variation distance, 0 (equal) to 1 (nothing in common), of the merged bins.
        p_value: the corrected p-value.
    """

    feature: str
    distance: float
    p_value: float


def compare(reference: Counts, window: Counts, blocks: int, tests: int = 1) -> list[FeatureDrift]:
    """Compare a window with the reference, feature by feature; both have images.

    A window changes only when a block is completed, so `blocks` is the number of different windows up to now. The
    factor blocks · (blocks + 1) keeps the probability of a false alarm in any of them, however often somebody looks,
    below that of one test: the sum of 1 / (k · (k + 1)) over all k is 1 (Bonferroni).

    Args:
        reference: counts of the reference.
        window: counts of the window.
        blocks: number of blocks that were completed since the version answers.
        tests: number of tests, one of which this is; the p-values are corrected for it.
    """
    correction = len(reference.bins) * blocks * (blocks + 1) * tests
    found = []
    for feature, counts in reference.bins.items():
        starts = merge(counts)
        merged, incoming = np.add.reduceat(counts, starts), np.add.reduceat(window.bins[feature], starts)
        p_value = min(1.0, correction * chi_square_tail(*statistic(merged, incoming)))
        found.append(FeatureDrift(feature, total_variation(merged, incoming), p_value))
    return found


def merge(reference: np.ndarray) -> list[int]:
    """Return the first bin of each group of neighbours that has at least `LEAST_SHARE` of the reference."""
    least = LEAST_SHARE * reference.sum()
    starts, gathered = [0], 0
    for index, counted in enumerate(reference):
        # A new group begins only if enough is left for it.
        if gathered >= least and reference[index:].sum() >= least:
            starts.append(index)
            gathered = 0
        gathered += counted
    return starts


def statistic(first: np.ndarray, second: np.ndarray) -> tuple[float, int]:
    """Return the chi-square statistic of two samples, counts [bins], and its degrees of freedom."""
    ratio = math.sqrt(second.sum() / first.sum())
    difference = first * ratio - second / ratio
    return float((difference**2 / (first + second)).sum()), len(first) - 1


def chi_square_tail(value: float, degrees: int) -> float:
    """Return the probability that a chi-square variable is at least `value`; 1 without a degree of freedom.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, chapter 26.
    """
    if degrees == 0:
        return 1.0
    half = value / 2
    tail = math.erfc(math.sqrt(half)) if degrees % 2 else 0.0
    # The terms half**i / gamma(i + 1), for i = 0, 1, … or 1/2, 3/2, … below degrees / 2.
    exponents = [step + (degrees % 2) / 2 for step in range(degrees // 2)]
    return tail + sum(math.exp(-half) * half**i / math.gamma(i + 1) for i in exponents)


def total_variation(first: np.ndarray, second: np.ndarray) -> float:
    """Return half the sum of the differences of two distributions, given as counts [bins]."""
    return float(np.abs(first / first.sum() - second / second.sum()).sum() / 2)
