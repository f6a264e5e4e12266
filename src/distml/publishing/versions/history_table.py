"""The table of the history of the versions, for people: printed, and kept as a text file on the volume."""

from distml.publishing.versions.history import Event, Record, State
from distml.step.atomic_files import write_text
from distml.step.text_table import table
from distml.step.volume import Volume

COLUMNS = ("time (UTC)", "event", "version", "model", "run", "validation", "test", "digest", "reason")


def write(volume: Volume, records: list[Record], state: State) -> None:
    """Write the table to the volume, if it has changed or is missing."""
    text = render(records, state)
    try:
        if volume.history.read_text() == text:
            return
    except (OSError, UnicodeDecodeError):
        pass
    if records:
        write_text(volume.history, text)


def render(records: list[Record], state: State) -> str:
    """Return the table, one decision per line, and lines with damaged records and the released version."""
    rows = [COLUMNS, *(_row(record) for record in records)]
    lines = [table(rows), ""] if records else ["the history has no records"]
    readable = {record.sequence for record in records}
    lines += [
        f"record {sequence} is missing or damaged, so it does not count; decide again what it decided"
        for sequence in range(1, state.sequence + 1)
        if sequence not in readable
    ]
    if records:
        lines.append(
            f"released: {f'version {state.released}' if state.released else 'none; the newest version answers'}"
        )
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
        str(facts.get("model", "")) + (f"-seed{facts['seed']}" if "seed" in facts else ""),
        str(facts.get("run", "")),
        _accuracy(facts.get("validation_accuracy")),
        _accuracy(facts.get("test_accuracy")),
        str(facts.get("digest", ""))[:12],
        reason,
    )


def _accuracy(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else ""
