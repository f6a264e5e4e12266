"""The quality gate's decision, on accuracies that are given."""

from pathlib import Path

import pytest

from distml.publishing import quality_gate
from distml.step import outcome

VERSION = Path("saved_model_versions/7")


def check(reached: float, before: float | None, asked: list[Path]) -> None:
    def accuracy_of(folder: Path) -> float:
        asked.append(folder)
        assert before is not None
        return before

    published = None if before is None else VERSION
    quality_gate.check("plain", reached, published, accuracy_of, floor=0.85, tolerance=0.01)


@pytest.mark.parametrize(("reached", "before"), [(0.85, None), (0.9, 0.9), (0.895, 0.9), (0.95, 0.9)])
def test_a_winner_that_is_good_enough_passes(reached: float, before: float | None) -> None:
    asked: list[Path] = []
    check(reached, before, asked)
    assert asked == ([] if before is None else [VERSION])


def test_below_the_floor_the_published_version_is_not_asked() -> None:
    asked: list[Path] = []
    with pytest.raises(outcome.Refused, match=r"plain's validation accuracy 0\.8400 is below the floor 0\.85; train"):
        check(0.84, 0.5, asked)
    assert asked == []


def test_a_winner_worse_than_the_published_version_is_refused() -> None:
    with pytest.raises(outcome.Refused, match=r"0\.8800 is more than 0\.01 below version 7's 0\.9000; train longer"):
        check(0.88, 0.9, [])
