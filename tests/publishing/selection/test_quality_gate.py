"""The quality gate's decisions on given accuracies."""

import argparse

import pytest

from distml.publishing.selection import quality_gate
from distml.publishing.versions import history
from distml.publishing.versions.history import Event, Record, State
from distml.step import command_line, outcome

RECALLS = {"Coat": 0.8, "Shirt": 0.61}


def publication(version: int, accuracy: object, data: str = "data") -> Record:
    facts = {"data_sha256": data, "validation_accuracy": accuracy}
    return Record(version, Event.PUBLISHED, version, "2026-01-02T03:04:05+00:00", facts=facts)


def check(accuracy: float, best: float | None = None, *options: str) -> None:
    parser = command_line.Parser()
    quality_gate.add_options(parser)
    record = None if best is None else publication(7, best)
    quality_gate.check("plain-seed1", accuracy, RECALLS, record, parser.parse_args(options))


@pytest.mark.parametrize(("accuracy", "best"), [(0.85, None), (0.9, 0.9), (0.922, 0.932), (0.95, 0.9)])
def test_a_winner_that_is_good_enough_passes(accuracy: float, best: float | None) -> None:
    check(accuracy, best)
    check(accuracy, best, "--class-floor", "0.61")


@pytest.mark.parametrize(
    ("accuracy", "best", "options", "reason"),
    [
        (
            *(0.84, 0.99, []),
            "validation accuracy 0.8400 is below the floor 0.85 by 0.0100; train longer, or lower --accuracy-floor"
            " (make run FLOOR=...)",
        ),
        (
            *(0.9, 0.99, ["--class-floor", "0.65"]),
            "recall of Shirt 0.6100 on the validation images is below the class floor 0.65 by 0.0400; train longer, or"
            " lower --class-floor (make run CLASS_FLOOR=...)",
        ),
        (
            *(0.88, 0.9, []),
            "validation accuracy 0.8800 is 0.0200 below version 7's 0.9000, the best published on this data set: 0.0100"
            " more than the tolerance 0.01; train longer, or raise --tolerance (make run TOLERANCE=...)",
        ),
    ],
    ids=["floor", "class floor", "best version"],
)
def test_a_refusal_names_the_bound_and_by_how_much_it_was_missed(
    accuracy: float, best: float, options: list[str], reason: str
) -> None:
    with pytest.raises(outcome.Refused) as refused:
        check(accuracy, best, *options)
    assert str(refused.value) == f"not published: plain-seed1's {reason}"


def test_the_best_version_counts_even_if_it_is_neither_the_last_nor_stored() -> None:
    records = [publication(1, 0.91), publication(2, 0.93), publication(3, 0.92)]
    assert quality_gate.best_version(history.fold(records, 3), "data") == records[1]


def test_versions_on_other_data_or_without_an_accuracy_do_not_count() -> None:
    records = [publication(1, 0.99, "other data"), publication(2, None), publication(3, 0.9)]
    assert quality_gate.best_version(history.fold(records, 3), "data") == records[2]
    assert quality_gate.best_version(history.fold([], 0), "data") is None


@pytest.mark.parametrize("event", [Event.WITHDRAWN, Event.REJECTED])
def test_withdrawn_and_rejected_versions_do_not_count(event: Event) -> None:
    published = [publication(1, 0.9), publication(2, 0.95)]
    state: State = history.fold([*published, Record(3, event, 2, "2026-01-02T03:04:05+00:00")], 3)
    assert quality_gate.best_version(state, "data") == published[0]


def test_the_flags_pass_through_a_command_line_unchanged() -> None:
    parser = command_line.Parser()
    quality_gate.add_options(parser)
    args = argparse.Namespace(accuracy_floor=0.5, class_floor=0.25, tolerance=1.0)
    assert parser.parse_args([str(word) for word in quality_gate.options(args)]) == args
