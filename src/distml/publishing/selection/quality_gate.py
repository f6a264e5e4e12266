"""The quality gate: the validation accuracy and recalls that a winner must reach to be published.

The gate loads no model, so that the local pipeline can import its options and still start without TensorFlow.
"""

import argparse
from collections.abc import Mapping

from distml.publishing.versions.history import Record, State
from distml.step import command_line, outcome

# Accuracies are quotients of small integers; a difference below this one comes from their binary form.
ROUNDING = 1e-9


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the quality gate's three flags."""
    parser.add_argument(
        "--accuracy-floor",
        type=command_line.fraction,
        default=0.85,
        help="lowest validation accuracy that may be published, 0 to 1",
    )
    parser.add_argument(
        "--class-floor",
        type=command_line.fraction,
        default=0.0,
        help="lowest recall on the validation images that each class needs, 0 to 1; 0 for no bound",
    )
    parser.add_argument(
        "--tolerance",
        type=command_line.fraction,
        default=0.01,
        help="how far the winner's validation accuracy may be below that of the best version published on the same"
        " data, 0 to 1",
    )


def options(args: argparse.Namespace) -> tuple[object, ...]:
    """Return the quality gate's flags with their values in `args`, as words of a command line."""
    return (
        *("--accuracy-floor", args.accuracy_floor),
        *("--class-floor", args.class_floor),
        *("--tolerance", args.tolerance),
    )


def best_version(state: State, data_sha256: str) -> Record | None:
    """Return the publication with the highest validation accuracy on this data set; None if there is none.

    The history keeps the accuracy of a version whose files were pruned. Withdrawn and rejected versions do not count,
    nor versions whose accuracy is not recorded.
    """
    records = [
        record
        for number, record in sorted(state.published.items())
        if number not in state.withdrawn
        and record.facts.get("data_sha256") == data_sha256
        and isinstance(record.facts.get("validation_accuracy"), float)
    ]
    return max(records, key=lambda record: record.facts["validation_accuracy"], default=None)


def check(
    winner: str, accuracy: float, recalls: Mapping[str, float], best: Record | None, args: argparse.Namespace
) -> None:
    """Refuse a winner below a floor, or worse than the best version published on the same data.

    Args:
        winner: name of the winner's candidate.
        accuracy: its validation accuracy, 0 to 1.
        recalls: its recall on the validation images, 0 to 1, by class.
        best: publication of the best version, from `best_version`.
        args: the flags of `add_options`.

    Raises:
        Refused: the winner is not good enough.
    """
    _check_floor(winner, accuracy, args.accuracy_floor)
    _check_class_floor(winner, recalls, args.class_floor)
    if best:
        _check_best(winner, accuracy, best, args.tolerance)


def _check_floor(winner: str, accuracy: float, floor: float) -> None:
    if floor - accuracy > ROUNDING:
        raise outcome.Refused(
            f"not published: {winner}'s validation accuracy {accuracy:.4f} is below the floor {floor:g} by"
            f" {floor - accuracy:.4f}; train longer, or lower --accuracy-floor (make run FLOOR=...)"
        )


def _check_class_floor(winner: str, recalls: Mapping[str, float], floor: float) -> None:
    worst = min(recalls, key=lambda name: recalls[name])
    if floor - recalls[worst] > ROUNDING:
        raise outcome.Refused(
            f"not published: {winner}'s recall of {worst} {recalls[worst]:.4f} on the validation images is below the"
            f" class floor {floor:g} by {floor - recalls[worst]:.4f}; train longer, or lower --class-floor"
            " (make run CLASS_FLOOR=...)"
        )


def _check_best(winner: str, accuracy: float, best: Record, tolerance: float) -> None:
    highest = best.facts["validation_accuracy"]
    missing = highest - accuracy - tolerance
    if missing > ROUNDING:
        raise outcome.Refused(
            f"not published: {winner}'s validation accuracy {accuracy:.4f} is {highest - accuracy:.4f} below version"
            f" {best.version}'s {highest:.4f}, the best published on this data set: {missing:.4f} more than the"
            f" tolerance {tolerance:g}; train longer, or raise --tolerance (make run TOLERANCE=...)"
        )
