"""The quality gate: the validation accuracy that a winner must reach to be published.

The gate loads no model, so that the local pipeline can import its options and still start without TensorFlow.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from distml.step import command_line, outcome
from distml.step.progress_bar import say


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the quality gate's two flags."""
    parser.add_argument(
        "--accuracy-floor",
        type=command_line.fraction,
        default=0.85,
        help="lowest validation accuracy that may be published, 0 to 1",
    )
    parser.add_argument(
        "--tolerance",
        type=command_line.fraction,
        default=0.01,
        help="how far below the published version's validation accuracy the winner may be, 0 to 1",
    )


def check(
    winner: str,
    accuracy: float,
    published: Path | None,
    accuracy_of: Callable[[Path], float],
    floor: float,
    tolerance: float,
) -> None:
    """Refuse a winner below the floor, or worse than the published version on the same validation images.

    Args:
        winner: name of the winner's model.
        accuracy: the winner's validation accuracy, 0 to 1.
        published: folder of the published version; None before the first publication.
        accuracy_of: returns the validation accuracy of a version; called only if the winner reaches the floor.
        floor: lowest validation accuracy that passes.
        tolerance: how far below the published version's accuracy the winner may be.

    Raises:
        Refused: the winner is not good enough.
    """
    say(f"{winner} has the best validation accuracy: {accuracy:.4f}")
    if accuracy < floor:
        raise outcome.Refused(
            f"not published: {winner}'s validation accuracy {accuracy:.4f} is below the floor {floor:g};"
            " train longer, or lower --accuracy-floor (make run FLOOR=...)"
        )
    if published is None:
        return
    published_accuracy = accuracy_of(published)
    if accuracy < published_accuracy - tolerance:
        raise outcome.Refused(
            f"not published: {winner}'s validation accuracy {accuracy:.4f} is more than {tolerance:g} below version"
            f" {published.name}'s {published_accuracy:.4f}; train longer, or raise"
            " --tolerance (make run TOLERANCE=...)"
        )
