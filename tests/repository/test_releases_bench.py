"""bench/releases.py: what hey prints, and the tables of bench/README.md."""

import json
import sys
from typing import Any

from support.project import ROOT

sys.path.append(str(ROOT / "bench"))

import releases

RIGHT: dict[str, Any] = {"requests": 240_000, "failed": 0, "answers_by_the_old": 100_000, "answers_by_the_new": 140_001}
RIGHT |= {"decision": "released", "seconds": 33.4, "memory_mib": 201.5}
BAD = {**RIGHT, "answers_by_the_old": 240_001, "answers_by_the_new": 0, "decision": "rejected", "seconds": 2.5}
KINDS = {"right": RIGHT, "wrong": BAD, "slow": BAD, "raising": {**BAD, "answers_by_the_new": 7}, "damaged": BAD}
RATES = {"instant": [4000.0, 3000.0, 5000.0], "guarded": [3900.0, 3000.0, 4000.0]}
RECORDED = {"kinds": KINDS, "requests_per_second": RATES}


def test_the_table_of_releases_has_a_row_for_each_kind() -> None:
    tables = releases.tables({**RECORDED, "kinds": {**KINDS, "raising": {**BAD, "decision": "none", "seconds": None}}})
    assert tables.splitlines()[2:7] == [
        "| right | 240,000 | 0 | 100,000 | 140,001 | released | 33.4 | 202 |",
        "| wrong | 240,000 | 0 | 240,001 | 0 | rejected | 2.5 | 202 |",
        "| slow | 240,000 | 0 | 240,001 | 0 | rejected | 2.5 | 202 |",
        "| raising | 240,000 | 0 | 240,001 | 0 | none |  | 202 |",
        "| damaged | 240,000 | 0 | 240,001 | 0 | rejected | 2.5 | 202 |",
    ]


def test_the_targets_of_releases_mark_those_that_are_not_reached() -> None:
    recorded = {**RECORDED, "kinds": {**KINDS, "slow": {**BAD, "failed": 2, "answers_by_the_new": 3}}}
    assert releases.targets_table(recorded).splitlines()[2:] == [
        "| requests/s outside a release: guarded / instant | 0.975 | ≥ 0.97 |",
        "| largest memory in MiB | 202 | ≤ 300 |",
        "| failed requests | 2 | ≤ 0, not reached |",
        "| answers by the version: wrong | 0 | ≤ 0 |",
        "| answers by the version: slow | 3 | ≤ 0, not reached |",
        "| answers by the version: damaged | 0 | ≤ 0 |",
    ]


def test_heys_statuses_and_errors_are_counted_alike() -> None:
    printed = "Status code distribution:\n  [200]\t98 responses\n  [503]\t1 responses\n"
    printed += '\nError distribution:\n  [2]\tPost "http://127.0.0.1:80/": EOF\n'
    assert releases.statuses_of(printed) == {"200": 98, "503": 1, 'Post "http://127.0.0.1:80/": EOF': 2}


def test_the_page_contains_the_recorded_tables_of_releases() -> None:
    recorded = json.loads((ROOT / "bench/results/releases.json").read_text())
    rows = [line for line in releases.tables(recorded).splitlines() if line.startswith("|")]
    page = (ROOT / "bench/README.md").read_text().splitlines()
    missing = [row for row in rows if row not in page]
    assert missing == [], "copy the tables that bench/releases.py prints to bench/README.md"
