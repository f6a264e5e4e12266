"""The table of the history of the versions, for people: printed, and kept as a text file on the volume."""

import functools
import sys
from pathlib import Path
from typing import Any

from distml.publishing.versions import folders
from distml.publishing.versions.history import Event, Record, State
from distml.step import outcome
from distml.step.atomic_files import write_text
from distml.step.text_table import table
from distml.step.volume import Volume, candidate_name

COLUMNS = ("time (UTC)", "event", "version", "model", "run", "validation", "test", "digest", "reason")


def write(volume: Volume, records: list[Record], state: State) -> None:
    """Write the table to the volume, if it has changed or is missing.

    On a full disk a warning is printed once: the table is a copy for people, and must not hinder a roll-back.
    """
    text = render(records, state, folders.numbers(volume.versions / folders.WITHDRAWN))
    try:
        if volume.history.read_text() == text:
            return
    except (OSError, UnicodeDecodeError):
        pass
    try:
        if records:
            write_text(volume.history, text)
    except OSError as error:
        if error.errno not in outcome.NO_SPACE:
            raise
        _warn_of_full_disk(volume.history)


@functools.cache
def _warn_of_full_disk(table: Path) -> None:
    outcome.write_line(
        sys.stderr,
        f"warning: the disk is full, so {table} is out of date; the history itself is complete, and pipeline_admin.py"
        " history prints it",
    )


def render(records: list[Record], state: State, kept_away: list[int]) -> str:
    """Return the table, one decision per line, and lines with what is damaged, released and withdrawn.

    Args:
        records: the readable records.
        state: their result.
        kept_away: numbers of the versions in the folder of the withdrawn ones.
    """
    rows = [COLUMNS, *(_row(record) for record in records)]
    lines = [table(rows), ""] if records else ["the history has no records"]
    readable = {record.sequence for record in records}
    lines += [
        f"record {sequence} is missing or damaged, so it does not count; decide again what it decided"
        for sequence in range(1, state.sequence + 1)
        if sequence not in readable
    ]
    lines += [
        f"version {number} is in {folders.WITHDRAWN} without a record of its withdrawal; withdraw or release it again"
        for number in kept_away
        if number not in state.withdrawn and number != state.released
    ]
    if records:
        released = f"version {state.released}" if state.released else "none; a starting predictor takes the newest"
        lines.append(f"released: {released}")
    if state.withdrawn:
        lines.append(f"withdrawn: {', '.join(map(str, sorted(state.withdrawn)))}")
    return "\n".join(lines) + "\n"


def _row(record: Record) -> tuple[str, ...]:
    facts = record.facts
    reason = record.reason
    if record.event is Event.ROLLED_BACK:
        numbers = facts["withdrawn"]
        withdrawn = f"version{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))} withdrawn"
        reason = f"{withdrawn}: {reason}" if reason else withdrawn
    return (
        str(facts.get("published", record.time))[:19].replace("T", " "),
        str(record.event),
        str(record.version),
        _model(facts),
        str(facts.get("run", "")),
        _accuracy(facts.get("validation_accuracy")),
        _accuracy(facts.get("test_accuracy")),
        str(facts.get("digest", ""))[:12],
        reason,
    )


def _model(facts: dict[str, Any]) -> str:
    """Return the name of the candidate that was published; versions of older releases record no seed."""
    model = str(facts.get("model", ""))
    return candidate_name(model, facts["seed"]) if "seed" in facts else model


def _accuracy(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else ""
