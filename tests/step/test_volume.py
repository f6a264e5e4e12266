"""Volumes without hard links, permissions, times or locks, such as Azure Files or FUSE."""

import errno
import fcntl
import json
import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from distml.model import manifest
from distml.publishing.versions import decisions, publication
from distml.publishing.versions.history import History
from distml.step import atomic_files
from distml.step import volume as volume_module
from distml.step.volume import Volume
from support.refusals import REFUSALS, refuse


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path / "volume")


@pytest.mark.parametrize("name", ["plain", "plain-seed", "plain-seed01", "plain-seed-1", "-seed1", "plain-seedx"])
def test_only_a_candidates_own_name_is_split_into_model_and_seed(name: str) -> None:
    assert volume_module.model_and_seed(volume_module.candidate_name("plain", 20)) == ("plain", 20)
    assert volume_module.model_and_seed(name) is None


@pytest.fixture
def candidate(volume: Volume) -> Path:
    folder = volume.candidate("run", "plain", 1)
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"model")
    (folder / "variables" / "variables.index").write_bytes(b"weights")
    manifest.write(folder, {"model": "plain"})
    return folder


CHANGING_METADATA = [
    *((os, "chmod"), (os, "utime"), (os, "fsync"), (Path, "chmod")),
    *((shutil, "copystat"), (shutil, "copymode")),
]


@pytest.mark.parametrize("number", REFUSALS)
def test_a_volume_without_permissions_and_times_stores_every_file(
    volume: Volume, candidate: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse(monkeypatch, number, *CHANGING_METADATA)
    assert publication.publish(volume, candidate, {}, keep=5) == 1
    assert manifest.verified(volume.version(1))["version"] == 1
    with atomic_files.folder_beside(volume.report) as work:
        atomic_files.write_json(work / "report.json", {"winner": "plain"})
        atomic_files.replace_folder(work, volume.report)
    assert json.loads((volume.report / "report.json").read_text()) == {"winner": "plain"}


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL])
def test_a_volume_without_locks_gets_one_warning(
    volume: Volume, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    refuse(monkeypatch, number, (fcntl, "flock"))
    with volume_module.hold_lock(volume) as descriptor:
        assert os.fstat(descriptor)
    assert capsys.readouterr().err == (
        f"warning: {volume} has no file locks ({os.strerror(number)}); nothing prevents a second run, so start one"
        " run at a time\n"
    )


@pytest.mark.parametrize("number", [errno.EWOULDBLOCK, errno.EACCES])
def test_a_volume_that_another_run_has_locked_is_refused(
    volume: Volume, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse(monkeypatch, number, (fcntl, "flock"))
    with pytest.raises(volume_module.InUse):
        volume_module.hold_lock(volume).__enter__()


def test_a_disk_error_while_locking_is_raised(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, errno.EIO, (fcntl, "flock"))
    with pytest.raises(OSError) as failed:
        volume_module.hold_lock(volume).__enter__()
    assert (failed.value.errno, failed.value.filename) == (errno.EIO, str(volume.lock))


def test_clearing_a_volume_removes_versions_and_history_in_one_step(
    volume: Volume, candidate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        publication.publish(volume, candidate, {}, keep=5)
    decisions.withdraw(volume, 2, "it is bad")
    with monkeypatch.context() as patch:
        refuse(patch, errno.EIO, (shutil, "rmtree"))  # as if the process were killed before it
        with pytest.raises(OSError):
            volume.clear()
    assert {path.name for path in volume.root.iterdir() if not path.name.startswith(".")} == {"runs"}
    volume.clear()
    assert [path.name for path in volume.root.iterdir()] == ["runs"]
    assert publication.publish(volume, candidate, {}, keep=5) == 1
    assert [(record.event, record.version) for record in History(volume.versions).records()] == [("published", 1)]


@pytest.mark.parametrize(("content", "waits"), [('{"a": 2', True), ("", True), ('{"a": ?}\n', False), ("\0\n", False)])
def test_only_a_file_that_may_grow_is_waited_for_and_once(tmp_path: Path, content: str, waits: bool) -> None:
    """Files of `create_json` end with a line break."""
    path = tmp_path / "record.json"
    path.write_text(content)
    started = time.monotonic()
    assert [volume_module.read_created_json(path, 0.3) for _ in range(20)] == [None] * 20
    assert (time.monotonic() - started > 0.25) == waits
    assert time.monotonic() - started < 3


def test_a_file_that_grows_is_read_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text("{")
    threading.Timer(0.2, path.write_text, ['{"a": 1}\n']).start()
    assert volume_module.read_created_json(path, 10) == {"a": 1}
