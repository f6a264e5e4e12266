"""The distance of two distributions, and its p-value."""

import numpy as np
import pytest

from distml.publishing.drift import distance, features
from distml.publishing.drift.features import Counts


@pytest.mark.parametrize(
    ("value", "degrees", "probability"),
    [
        (3.841, 1, 0.05),
        (10.828, 1, 0.001),
        (5.991, 2, 0.05),
        (7.815, 3, 0.05),
        (2.733, 8, 0.95),
        (21.666, 9, 0.01),
        (32.910, 12, 0.001),
        (37.566, 20, 0.01),
    ],
)
def test_the_tail_of_chi_square_has_the_published_values(value: float, degrees: int, probability: float) -> None:
    """Compare with NIST/SEMATECH e-Handbook of Statistical Methods, section 1.3.6.7.4."""
    assert distance.chi_square_tail(value, degrees) == pytest.approx(probability, rel=2e-3)


@pytest.mark.parametrize("degrees", range(10))
def test_the_tail_of_chi_square_is_1_at_0_and_0_far_away(degrees: int) -> None:
    assert distance.chi_square_tail(0, degrees) == 1
    assert distance.chi_square_tail(1e5, degrees) == (0 if degrees else 1)


def test_the_statistic_of_two_by_two_counts_is_the_textbooks() -> None:
    """Compare with n (ad - bc)² / ((a + b)(c + d)(a + c)(b + d)), for a = 10, b = 20, c = 30, d = 15."""
    expected = 75 * (10 * 15 - 20 * 30) ** 2 / (30 * 45 * 40 * 35)
    value, degrees = distance.statistic(np.array([10, 20]), np.array([30, 15]))
    assert (value, degrees) == (pytest.approx(expected), 1)


@pytest.mark.parametrize(
    ("counts", "starts"),
    [
        ([25, 25, 25, 25], [0, 1, 2, 3]),
        ([1, 2, 3, 94], [0, 3]),
        ([94, 3, 2, 1], [0, 1]),
        ([48, 1, 1, 1, 1, 48], [0, 1]),
        ([0, 0, 100, 0, 0], [0]),
        ([96, 4], [0]),
        ([100], [0]),
    ],
)
def test_bins_are_merged_until_each_has_5_percent(counts: list[int], starts: list[int]) -> None:
    assert distance.merge(np.array(counts)) == starts


def test_p_values_of_equal_distributions_are_uniform() -> None:
    random = np.random.default_rng(1)
    shares = np.array([0.005, 0.02, 0.1, 0.2, 0.3, 0.2, 0.1, 0.05, 0.02, 0.005])
    references, windows = random.multinomial(5000, shares, 4000), random.multinomial(500, shares, 4000)
    p_values = []
    for reference, window in zip(references, windows, strict=True):
        starts = distance.merge(reference)
        merged = [np.add.reduceat(counts, starts) for counts in (reference, window)]
        p_values.append(distance.chi_square_tail(*distance.statistic(*merged)))
    expected = np.array([0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9])
    found = np.searchsorted(np.sort(p_values), expected) / len(p_values)
    # Kolmogorov and Smirnov's bound for one sample of 4,000 at the level 0.001.
    assert np.abs(found - expected).max() < 1.95 / np.sqrt(4000)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [([1, 1], [50, 50], 0.0), ([1, 0], [0, 9], 1.0), ([50, 50], [4, 12], 0.25)],
)
def test_the_total_variation_is_between_0_and_1(first: list[int], second: list[int], expected: float) -> None:
    assert distance.total_variation(np.array(first), np.array(second)) == expected


def test_the_p_value_is_corrected_for_features_looks_and_tests() -> None:
    alike, shifted = np.array([500, 500]), np.array([580, 420])
    reference = Counts(dict.fromkeys(features.FEATURES, alike))
    window = Counts({**reference.bins, features.CLASS: shifted})
    alone = distance.chi_square_tail(*distance.statistic(alike, shifted))
    intensity, found, confidence = distance.compare(reference, window, blocks=5, tests=4)
    assert (intensity, confidence) == (("intensity", 0.0, 1.0), ("confidence", 0.0, 1.0))
    assert found == ("class", pytest.approx(0.08), pytest.approx(alone * 3 * 5 * 6 * 4))
