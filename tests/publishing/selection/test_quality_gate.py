"""The quality gate's decisions on given accuracies."""

from pathlib import Path

import pytest

from distml.publishing.selection import quality_gate
from distml.step import outcome

VERSION = Path("saved_model_versions/7")


def check(accuracy: float, published_accuracy: float | None, evaluated: list[Path]) -> None:
    def accuracy_of(folder: Path) -> float:
        evaluated.append(folder)
        assert published_accuracy is not None
        return published_accuracy

    published = None if published_accuracy is None else VERSION
    quality_gate.check("plain", accuracy, published, accuracy_of, floor=0.85, tolerance=0.01)


@pytest.mark.parametrize(("accuracy", "published_accuracy"), [(0.85, None), (0.9, 0.9), (0.895, 0.9), (0.95, 0.9)])
def test_a_winner_that_is_good_enough_passes(accuracy: float, published_accuracy: float | None) -> None:
    evaluated: list[Path] = []
    check(accuracy, published_accuracy, evaluated)
    assert evaluated == ([] if published_accuracy is None else [VERSION])


def test_a_winner_below_the_floor_is_refused_without_a_comparison() -> None:
    evaluated: list[Path] = []
    with pytest.raises(outcome.Refused, match=r"plain's validation accuracy 0\.8400 is below the floor 0\.85; train"):
        check(0.84, 0.5, evaluated)
    assert evaluated == []


def test_a_winner_worse_than_the_published_version_is_refused() -> None:
    with pytest.raises(outcome.Refused, match=r"0\.8800 is more than 0\.01 below version 7's 0\.9000; train longer"):
        check(0.88, 0.9, [])
