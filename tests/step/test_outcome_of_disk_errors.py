"""Disk errors behind TensorFlow's exceptions."""

import errno
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import multi_worker_distributed_training as training
from distml.step import outcome
from distml.training.group import worker

SAVE = "{{function_node __wrapped__SaveV2_dtypes_27}} /volume/ckpt-1.data; No space left on device [Op:SaveV2]"


def test_the_file_and_the_error_are_read_from_tensorflows_text() -> None:
    found = outcome.disk_error_behind(tf.errors.ResourceExhaustedError(None, None, SAVE))
    assert found and (found.errno, found.filename) == (errno.ENOSPC, "/volume/ckpt-1.data")


def test_a_disk_error_behind_another_exception_is_found() -> None:
    error = RuntimeError("while saving")
    error.__cause__ = PermissionError(errno.EACCES, "Permission denied", "/volume")
    assert outcome.disk_error_behind(error) is error.__cause__


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"),
        ValueError("wrong"),
        ConnectionError(),
    ],
)
def test_an_error_unrelated_to_the_disk_has_no_disk_cause(error: Any) -> None:
    assert outcome.disk_error_behind(error) is None


def test_a_worker_on_a_full_disk_reports_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ended = []

    def save(*_: object) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, SAVE)

    monkeypatch.setattr(worker, "end", lambda message, status: ended.append((message, status)))
    monkeypatch.setattr(worker, "end_on_sigterm", lambda: None)
    monkeypatch.setattr(
        training.fashion_mnist, "verified_manifest", lambda volume: {"data_sha256": "", "class_names": []}
    )
    monkeypatch.setattr(training, "TrainingLoop", save)
    training.main(training.parse_args(["--volume", str(tmp_path), "--model", "plain"]))
    expected = (
        "worker: cannot use /volume/ckpt-1.data: No space left on device; make space on that disk (pipeline_admin"
    )
    message, status = ended[0]
    assert (message[: len(expected)], status) == (expected, 1)
