"""Failure records on the volume, written by this process without a cluster or a training."""

import argparse
import json
import os
from pathlib import Path

import pytest

from distml.model import manifest
from distml.model.variants import MODELS
from distml.step import outcome
from distml.step.volume import Volume
from distml.training import failure_record
from distml.training.failure_record import Failure
from distml.training.loop import export_candidate
from support.project import CLASS_NAMES, run_script


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Clear the failure callbacks and TF_CONFIG; set FAILURE_RECORD to a record's file."""
    monkeypatch.setattr(outcome, "failure_callbacks", [])
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.setenv("FAILURE_RECORD", str(Volume(tmp_path).failure("distml-1", "plain", 1)))


def recorded(tmp_path: Path) -> Failure | None:
    return failure_record.read(Volume(tmp_path).failure("distml-1", "plain", 1))


def fail(message: str, status: int) -> None:
    outcome.failure_callbacks.clear()
    failure_record.start_recording()
    with pytest.raises(SystemExit):
        outcome.fail(message, status)


def test_a_failed_worker_records_its_index_status_and_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = {"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", json.dumps(workers))
    fail("a peer was lost", 1)
    path = tmp_path / "runs" / "distml-1" / "failures" / "plain-seed1.json"
    assert json.loads(path.read_text()) == {"worker": 1, "status": 1, "message": "a peer was lost"}
    assert str(recorded(tmp_path)) == "worker 1 ended with status 1: a peer was lost"


def test_a_later_failure_replaces_any_record_but_wrong_input(tmp_path: Path) -> None:
    fail("a peer was lost", 1)
    fail("no data", 2)
    fail("another peer was lost", 1)
    assert recorded(tmp_path) == Failure(0, 2, "no data")


def test_a_lost_peer_never_replaces_an_earlier_record(tmp_path: Path) -> None:
    fail("a peer was lost", outcome.LOST_PEER)
    fail("the disk is full", 1)
    fail("a peer was lost", outcome.LOST_PEER)
    assert recorded(tmp_path) == Failure(0, 1, "the disk is full")


def test_a_worker_stopped_by_sigterm_leaves_no_failure_record(tmp_path: Path) -> None:
    fail("ended by SIGTERM", outcome.TERMINATED)
    assert recorded(tmp_path) is None


def test_an_unexpected_exception_is_recorded(tmp_path: Path) -> None:
    def main(_: argparse.Namespace) -> None:
        raise RuntimeError("first line\nsecond line")

    failure_record.start_recording()
    with pytest.raises(RuntimeError):
        outcome.run(main, argparse.Namespace())
    assert recorded(tmp_path) == Failure(0, 1, "RuntimeError: first line")


def test_an_exit_while_tensorflow_blocks_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distml.training.group import worker

    monkeypatch.setattr(os, "_exit", lambda status: None)
    failure_record.start_recording()
    worker.end("worker: lost a peer", outcome.LOST_PEER)
    assert recorded(tmp_path) == Failure(0, 5, "worker: lost a peer")


def test_a_new_candidate_removes_the_failure_record(tmp_path: Path) -> None:
    fail("a peer was lost", outcome.LOST_PEER)
    facts = {"run": "distml-1", "model": "plain", "seed": 1, "class_names": CLASS_NAMES}
    export_candidate(Volume(tmp_path), MODELS["plain"](), facts)
    assert manifest.verified(Volume(tmp_path).candidate("distml-1", "plain", 1))["model"] == "plain"
    assert recorded(tmp_path) is None


def test_no_failure_is_recorded_without_the_variable_failure_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FAILURE_RECORD")
    fail("a peer was lost", 1)
    assert (recorded(tmp_path), len(capsys.readouterr().err.splitlines())) == (None, 1)


@pytest.mark.parametrize(
    "name",
    [
        "runs/distml-1/failures/plain-seed1.json",
        "/volume/failure.json",
        "/volume/runs/distml-1/failures/plain-seed1.txt",
        "/volume/runs/distml-1/failures/plain.json",
        "/volume/runs/distml-1/failures/plain-seed01.json",
        "/volume/runs/../failures/plain-seed1.json",
        "/volume/runs/{{workflow.name}}/failures/plain-seed1.json",
    ],
)
def test_an_invalid_failure_record_name_causes_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setenv("FAILURE_RECORD", name)
    fail("a peer was lost", 1)
    warning, failure = capsys.readouterr().err.splitlines()
    assert warning.startswith(f"warning: FAILURE_RECORD is '{name}', expected /<volume>/runs/<run>/failures/")
    assert failure.endswith(": a peer was lost")


def test_a_missing_volume_causes_a_warning_and_is_not_created(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("FAILURE_RECORD", str(Volume(tmp_path / "typo").failure("distml-1", "plain", 1)))
    fail("a peer was lost", 1)
    warning, failure = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: FAILURE_RECORD is ") and failure.endswith(": a peer was lost")
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_failure_record_does_not_hide_the_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "runs").write_text("a file")
    fail("a peer was lost", 1)
    assert capsys.readouterr().err.endswith(": a peer was lost\n")


def test_a_worker_with_wrong_arguments_leaves_a_failure_record(tmp_path: Path) -> None:
    ended = run_script("multi_worker_distributed_training.py", "--model=plain", "--epochs=none")
    assert ended.returncode == 2
    assert str(recorded(tmp_path)).startswith(
        "worker 0 ended with status 2: argument --epochs: 'none' is not an integer"
    )


def test_a_damaged_failure_record_counts_as_missing(tmp_path: Path) -> None:
    path = Volume(tmp_path).failure("distml-1", "plain", 1)
    path.parent.mkdir(parents=True)
    path.write_text("[1]")
    assert recorded(tmp_path) is None
