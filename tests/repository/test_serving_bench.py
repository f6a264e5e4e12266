"""bench/serving.py: the peers, their packages, and the tables of bench/README.md."""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from support.project import ROOT, run_without_programs

sys.path.append(str(ROOT / "bench"))

from predictors import peers, report, servers
from predictors.peers import PEERS

LOADS = {report.RATE: 3000.0, report.P99: 3.0, report.RATE_64: 3600.0, report.P99_64: 30.0}
ARRAYS = {report.ARRAY_RATE: 3000.0, report.ARRAY_P99: 3.0, report.ARRAY_RATE_64: 3600.0}
OURS = {**LOADS, **ARRAYS, report.START: 0.9, report.MEMORY: 120.0}
PEER = {**LOADS, report.RATE: 1600.0, report.START: 8.4, report.MEMORY: 1234.0}
RECORDED: dict[str, Any] = {
    "medians": {
        "predictor": {**OURS, report.BY_BINARY: 9000.0, report.BARE: 10_000.0},
        "empty": {**OURS, report.RATE: 4000.0},
        "Ray Serve": PEER,
    },
    "forms": {"Ray Serve": {"chosen": "1 replica", "tried": {"1 replica": PEER}}},
    "memory_of_the_predictor_mib": {"10,000": 130.0},
}


def test_the_table_of_servers_has_a_row_for_each() -> None:
    assert report.servers_table(RECORDED).splitlines()[2:] == [
        "| predictor |  | 3,000 | 3.0 | 3,600 | 30.0 | 0.9 | 120 |",
        "| empty |  | 4,000 | 3.0 | 3,600 | 30.0 | 0.9 | 120 |",
        "| Ray Serve | 1 replica | 1,600 | 3.0 | 3,600 | 30.0 | 8.4 | 1,234 |",
    ]


def test_the_table_of_targets_marks_those_that_are_not_reached() -> None:
    assert report.targets_table(RECORDED).splitlines()[2:] == [
        "| requests/s, `-c 5`, image file: predictor / empty | 0.75 | ≥ 0.85, not reached |",
        "| its p99 | 1.00 | ≤ 2 |",
        "| requests/s, `-c 5`, array: predictor / empty | 1.00 | ≥ 0.85 |",
        "| its p99 | 1.00 | ≤ 2 |",
        "| image file: predictor at `-c 64` / at `-c 5` | 1.20 | ≥ 1 |",
        "| array: predictor at `-c 64` / at `-c 5` | 1.20 | ≥ 1 |",
        "| images/s, 64 by V2 binary: predictor / bare engine | 0.90 | ≥ 0.5 |",
        "| start: predictor / empty | 1.00 | ≤ 1.4 |",
        "| largest memory of the predictor in MiB, 50,000 more requests included | 130.00 | ≤ 250 |",
        "| requests/s, `-c 5`: predictor / Ray Serve | 1.88 | ≥ 2, not reached |",
        "| its p99 | 1.00 | ≤ 1 |",
    ]


def test_the_page_contains_the_recorded_tables_of_servers() -> None:
    recorded = json.loads((ROOT / "bench/results/serving.json").read_text())
    rows = [line for line in report.tables(recorded).splitlines() if line.startswith("|")]
    page = (ROOT / "bench/README.md").read_text().splitlines()
    missing = [row for row in rows if row not in page]
    assert missing == [], "copy the tables that bench/serving.py prints to bench/README.md"


def test_the_answers_of_all_protocols_are_compared_alike() -> None:
    prediction = {"class_name": "Trouser", "class_index": 1, "probabilities": [0.25, 0.75]}
    data = {"probabilities": [0.25, 0.75], "class_index": [1], "class_name": ["Trouser"]}
    v2 = {"outputs": [{"name": name, "data": values} for name, values in data.items()]}
    answers = [{"predictions": [prediction]}, v2, [prediction]]
    assert [servers.classification(json.dumps(answer).encode()) for answer in answers] == [(1, [0.25, 0.75])] * 3


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_has_its_packages_and_its_script(name: str) -> None:
    packages = PEERS[name].packages
    pinned = (ROOT / f"requirements/peers/{packages}.txt").read_text()
    assert "ai-edge-litert==" in pinned and "://" not in pinned
    assert Path(ROOT / "bench/predictors" / f"with_{packages.replace('-', '_')}.py").is_file()


def test_the_peers_versions_are_those_of_the_version_table() -> None:
    files = [ROOT / f"requirements/peers/{name}.in" for name in ("mlserver", "litserve", "bentoml", "ray-serve")]
    pins = [re.findall(r"^[a-z]+(?:\[serve\])?==(\S+)", path.read_text(), re.MULTILINE)[0] for path in files]
    row = f"| MLServer, LitServe, BentoML, Ray Serve, for `make bench` | {', '.join(pins)} | run |"
    assert row in (ROOT / "docs/upgrading.md").read_text()


def test_the_option_for_peers_accepts_none_and_names() -> None:
    assert [peers.names("none"), peers.names("LitServe, Ray Serve")] == [[], ["LitServe", "Ray Serve"]]
    with pytest.raises(argparse.ArgumentTypeError, match="no such peer: Triton; expected none, or some of MLServer, "):
        peers.names("LitServe,Triton")


def test_measuring_without_hey_ends_with_one_line() -> None:
    status, (line,) = run_without_programs("bench/serving.py")
    assert status == 1
    assert "hey is not on the PATH; install it" in line
