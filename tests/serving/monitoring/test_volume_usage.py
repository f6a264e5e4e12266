"""The metrics of the volume's size."""

import os
from pathlib import Path

import pytest

from distml.serving.monitoring import volume_usage


def test_the_metrics_show_size_and_free_space_of_the_file_system(tmp_path: Path) -> None:
    volume_usage.measure(tmp_path)
    status = os.statvfs(tmp_path)
    assert volume_usage.SIZE._value.get() == status.f_blocks * status.f_frsize
    assert 0 < volume_usage.FREE._value.get() <= volume_usage.SIZE._value.get()


def test_a_volume_that_cannot_be_asked_leaves_the_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume_usage.measure(tmp_path)
    before = volume_usage.FREE._value.get()
    volume_usage.measure(tmp_path / "missing")
    assert volume_usage.FREE._value.get() == before > 0
