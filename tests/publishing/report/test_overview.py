"""The overview of a volume's runs."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from distml.publishing.report import overview
from distml.publishing.versions.history import Event, History
from distml.step.volume import Volume

REPORT = {
    **{"winner": "plain", "version": 1, "verdict": "lead within chance"},
    **{"validation_accuracy": 0.91, "validation_interval": [0.9, 0.92], "test_accuracy": 0.9},
}


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path)


def add_run(volume: Volume, run: str, report: Any = None, time: int = 0) -> None:
    """Add a run with a report that was written at a time, in seconds."""
    path = volume.run_report(run) / "report.json"
    path.parent.mkdir(parents=True)
    path.write_text(report if isinstance(report, str) else json.dumps(report))
    os.utime(path, (time, time))


def cells(volume: Volume) -> list[list[str]]:
    """Return the texts of the table's rows, without that of the heads."""
    rows = re.findall("<tr.*?</tr>", overview.render(volume), re.DOTALL)[1:]
    found = [re.findall("<t[hd].*?</t[hd]>", row, re.DOTALL) for row in rows]
    return [[re.sub("<.*?>", "", cell).strip() for cell in row] for row in found]


def test_the_overview_of_an_empty_volume_says_so(volume: Volume) -> None:
    assert "This volume has no runs yet." in overview.render(volume)


def test_the_overview_lists_no_runs_if_their_folder_is_a_file(volume: Volume) -> None:
    volume.runs.touch()
    assert "This volume has no runs yet." in overview.render(volume)


def test_the_overview_lists_the_runs_the_newest_first(volume: Volume) -> None:
    add_run(volume, "older", REPORT, 60)
    add_run(volume, "newer", {**REPORT, "winner": "dropout"}, 120)
    figures = ["0.9100", "0.9000 to 0.9200", "lead within chance", "0.9000", "1"]
    assert cells(volume) == [
        ["newer", "1970-01-01 00:02", "dropout", *figures],
        ["older", "1970-01-01 00:01", "plain", *figures],
    ]


@pytest.mark.parametrize("report", ["", "{", "[1]", "null", "{}", "[" * 100_000])
def test_a_run_with_a_damaged_report_is_listed_without_a_link(volume: Volume, report: str) -> None:
    add_run(volume, "run", report)
    assert cells(volume) == [["run", "1970-01-01 00:00", "no report that can be read"]]
    assert "/runs/run/" not in overview.render(volume)


def test_a_report_of_an_older_release_shows_dashes(volume: Volume) -> None:
    add_run(volume, "run", {"winner": "plain"})
    assert cells(volume) == [["run", "1970-01-01 00:00", "plain", *"–––––"]]


def test_values_that_a_report_cannot_have_are_dashes(volume: Volume) -> None:
    nested = json.loads("[" * 900 + "]" * 900)
    add_run(volume, "run", {"winner": nested, "verdict": {}, "validation_interval": [0.9], "version": 1})
    assert cells(volume) == [["run", "1970-01-01 00:00", *"–––––", "1"]]


def test_the_overview_escapes_the_values_of_a_report(volume: Volume) -> None:
    add_run(volume, "run", {"winner": "<script>"})
    page = overview.render(volume)
    assert "&lt;script&gt;" in page and "<script" not in page


def test_names_that_no_run_can_have_are_not_listed(volume: Volume) -> None:
    for name in (".half-removed", "with blank", "<b>"):
        add_run(volume, name, REPORT)
    (volume.runs / "link").symlink_to(volume.runs / "<b>")
    assert cells(volume) == []


def test_the_overview_marks_the_released_and_the_withdrawn_version(volume: Volume) -> None:
    for number in (1, 2, 3):
        add_run(volume, f"run{number}", {"version": number}, number)
        History(volume.versions).append(Event.PUBLISHED, number)
    History(volume.versions).append(Event.RELEASED, 1)
    History(volume.versions).append(Event.WITHDRAWN, 3, "it is <slow>")
    assert [row[-1] for row in cells(volume)] == ["3withdrawn", "2", "1released"]
    assert "it is &lt;slow&gt;" in overview.render(volume)
