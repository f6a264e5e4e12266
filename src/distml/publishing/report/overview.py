"""The overview: all runs of a volume on one page, with links to their reports, and the history of the versions."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from distml.publishing.report import templates
from distml.publishing.versions import folders, history_table
from distml.publishing.versions.history import History, State
from distml.step import command_line
from distml.step.volume import Volume


@dataclass(frozen=True)
class Row:
    """A run on the page.

    Attributes:
        run: the run's name.
        time: when its report was written, or when its folder changed last; UTC.
        report: the content of its `report.json`; empty if it has none that can be read.
    """

    run: str
    time: datetime
    report: dict[str, Any] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return a value of the report for people; a dash if the report, perhaps of an older release, has none."""
        match self.report.get(name):
            case float(number):
                return f"{number:.4f}"
            case [float(low), float(high)]:
                return f"{low:.4f} to {high:.4f}"
            case str() | int() as value:
                return str(value)
            case _:
                return "–"


def render(volume: Volume) -> str:
    """Return the page of a volume, which may have no runs yet."""
    history = History(volume.versions)
    records, state = history.records(), history.state()
    table = history_table.render(records, state, folders.numbers(volume.versions / folders.WITHDRAWN))
    page = templates.template("overview.html.j2")
    return page.render(rows=rows(volume), history=table, fate=lambda row: fate(row, state))


def rows(volume: Volume) -> list[Row]:
    """Return the volume's runs, the newest first; none if `runs` is no folder of the volume."""
    if volume.runs.is_symlink() or not volume.runs.is_dir():
        return []
    names = [folder.name for folder in volume.runs.iterdir() if folder.is_dir() and not folder.is_symlink()]
    found = [row for name in names if command_line.PLAIN_NAME.fullmatch(name) if (row := row_of(volume, name))]
    return sorted(found, key=lambda row: row.time, reverse=True)


def row_of(volume: Volume, run: str) -> Row | None:
    """Return a run's row; None if the run was removed meanwhile."""
    path = volume.run_report(run) / "report.json"
    try:
        seen = path if path.exists() else volume.run(run)
        time = datetime.fromtimestamp(seen.stat().st_mtime, UTC)
    except OSError:
        return None
    try:
        report = json.loads(read(volume, path) or "")
    except (ValueError, RecursionError):  # the latter for thousands of nested brackets
        report = None
    return Row(run, time, report if isinstance(report, dict) else {})


def fate(row: Row, state: State) -> str:
    """Return "released" or "withdrawn" if the run's version is that now, else ""."""
    version = row.report.get("version")
    if not isinstance(version, int):
        return ""
    if version in state.withdrawn:
        return "withdrawn"
    return "released" if version == state.released else ""


def read(volume: Volume, path: Path) -> bytes | None:
    """Return the content of a file of the volume; None if it cannot be read, or a link is on its path.

    A link could name any file of the machine.
    """
    path = volume.root.resolve() / path.relative_to(volume.root)
    try:
        return path.read_bytes() if path.resolve(strict=True) == path and path.is_file() else None
    except (OSError, RuntimeError):  # Python 3.11 raises RuntimeError for links in a circle
        return None
