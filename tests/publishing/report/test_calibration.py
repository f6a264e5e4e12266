"""The calibration of a model, with the worked example of another library's documentation."""

import numpy as np
import pytest

from distml.publishing.report import calibration
from distml.publishing.report.calibration import Bin

# The example of `multiclass_calibration_error` in the documentation of TorchMetrics: 0.2 with three bins.
PROBABILITIES = np.array([[0.25, 0.20, 0.55], [0.55, 0.05, 0.40], [0.10, 0.30, 0.60], [0.90, 0.05, 0.05]])
LABELS = np.array([0, 1, 2, 0])


def test_the_expected_error_is_that_of_the_worked_example() -> None:
    bins = calibration.bins(PROBABILITIES, LABELS, 3)
    assert bins == [
        Bin(1 / 3, 2 / 3, images=3, right=1, confidence=(0.55 + 0.55 + 0.6) / 3),
        Bin(2 / 3, 1.0, images=1, right=1, confidence=0.9),
    ]
    assert calibration.expected_error(bins) == pytest.approx(0.2)
    assert calibration.mean_confidence(bins) == pytest.approx((0.55 + 0.55 + 0.6 + 0.9) / 4)


def test_a_bin_includes_its_upper_end_and_not_its_lower_one() -> None:
    confidence = np.array([[0.5, 0.25, 0.25], [0.51, 0.29, 0.2], [1.0, 0.0, 0.0]])
    found = calibration.bins(confidence, np.zeros(3, np.int64), 2)
    assert [(one.low, one.high, one.images) for one in found] == [(0.0, 0.5, 1), (0.5, 1.0, 2)]


def test_a_perfect_model_that_is_sure_has_no_error() -> None:
    certain = np.eye(3, dtype=np.float32)
    (found,) = calibration.bins(certain, np.arange(3))
    assert (found.high, found.images, found.accuracy) == (1.0, 3, 1.0)
    assert calibration.expected_error([found]) == 0.0
    assert calibration.expected_error(calibration.bins(certain, np.array([1, 2, 0]))) == 1.0
