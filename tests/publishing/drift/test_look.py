"""A look at a window: what it says."""

import numpy as np
import pytest

from distml.publishing.drift import look
from distml.publishing.drift.features import FEATURES, Counts

ALIKE = Counts(dict.fromkeys(FEATURES, np.array([500, 500])))
OTHER = Counts(dict.fromkeys(FEATURES, np.array([1000, 0])))
FIGURES = "intensity {0}, class {0}, confidence {0}"


@pytest.mark.parametrize(
    ("reference", "window", "blocks", "drifted", "text"),
    [
        (
            None,
            ALIKE,
            10,
            False,
            "version 3 has no drift_reference with this release's bins in its manifest; publish again",
        ),
        (ALIKE, OTHER, 4, False, "too few images for version 3 yet: 4 of at least 5 blocks are complete"),
        (
            ALIKE,
            ALIKE,
            5,
            False,
            "no drift from the validation images of version 3 in the last 1,000 images: "
            + FIGURES.format("0.00 (p 1)"),
        ),
        (
            ALIKE,
            OTHER,
            5,
            True,
            "the last 1,000 images have drifted from the validation images of version 3: "
            + FIGURES.format("0.50 (p below 1e-99)"),
        ),
    ],
)
def test_a_look_says_in_one_sentence_what_it_found(
    reference: Counts | None, window: Counts, blocks: int, drifted: bool, text: str
) -> None:
    found = look.look(3, "abc", reference, window, blocks)
    assert (found.drifted, found.text, bool(found.features)) == (drifted, text, "(p " in text)


@pytest.mark.parametrize(("counts", "p_value", "drifted"), [([580, 420], 0.0299, False), ([590, 410], 0.0048, True)])
def test_drift_is_a_p_value_below_1_percent(counts: list[int], p_value: float, drifted: bool) -> None:
    found = look.look(3, "abc", ALIKE, Counts(dict.fromkeys(FEATURES, np.array(counts))), 5)
    assert [each.p_value for each in found.features] == pytest.approx([p_value] * 3, abs=1e-4)
    assert found.drifted is drifted


def test_a_look_as_json_has_counts_and_figures_of_each_feature() -> None:
    pair = {feature: [500, 500] for feature in FEATURES}
    assert look.look(3, "abc", ALIKE, ALIKE, 5).to_json() == {
        "version": "3",
        "digest": "abc",
        "blocks": 5,
        "images": 1000,
        "reference": pair,
        "window": pair,
        "features": {feature: {"distance": 0.0, "p_value": 1.0} for feature in FEATURES},
        "drifted": False,
        "text": "no drift from the validation images of version 3 in the last 1,000 images: "
        + FIGURES.format("0.00 (p 1)"),
    }
