"""The quality gate: the validation accuracy that a winner must reach to be published.

It decides, and loads no model itself: the local pipeline takes its options from here and starts without TensorFlow.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from distml.step import command_line, outcome
from distml.step.progress_bar import say


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the quality gate's two flags."""
    parser.add_argument("--accuracy-floor", type=command_line.fraction, default=0.85, help="least validation accuracy")
    parser.add_argument(
        "--tolerance", type=command_line.fraction, default=0.01, help="below the published version's accuracy"
    )


def check(
    winner: str,
    reached: float,
    published: Path | None,
    accuracy_of: Callable[[Path], float],
    floor: float,
    tolerance: float,
) -> None:
    """Refuse a winner below the floor, or worse than the published version on the same validation images.

    Args:
        winner: name of the model.
        reached: its validation accuracy, 0 to 1.
        published: folder of the published version; None where there is none.
        accuracy_of: measures the validation accuracy of a version; called only for a winner above the floor.
        floor: the least validation accuracy.
        tolerance: how far below the published version's accuracy the winner may be.

    Raises:
        Refused: it is not good enough.
    """
    say(f"{winner} has the best validation accuracy: {reached:.4f}")
    if reached < floor:
        raise outcome.Refused(
            f"not published: {winner}'s validation accuracy {reached:.4f} is below the floor {floor:g};"
            " train longer, or lower --accuracy-floor"
        )
    if published is None:
        return
    before = accuracy_of(published)
    if reached < before - tolerance:
        raise outcome.Refused(
            f"not published: {winner}'s validation accuracy {reached:.4f} is more than {tolerance:g} below version"
            f" {published.name}'s {before:.4f}; train longer, or raise --tolerance"
        )
