"""Atomic writes on failing disks and beside other processes."""

import errno
import os
from pathlib import Path

import pytest

from distml.step import atomic_files
from distml.step.volume import Volume
from support.refusals import refuse


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path / "volume")


def test_new_files_and_folders_are_readable_under_any_umask(volume: Volume) -> None:
    before = os.umask(0o077)
    try:
        atomic_files.write_json(volume.root / "one.json", {})
        with atomic_files.folder_beside(volume.report) as work:
            atomic_files.rename_folder(work, volume.report)
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (volume.root / "one.json", volume.report)] == [0o644, 0o755]


@pytest.mark.parametrize(("user", "modes"), [(1234567, [0o664, 0o775, 0o775]), (0, [0o644, 0o755, 0o755])])
def test_the_group_root_may_write_the_files_of_other_users(
    volume: Volume, monkeypatch: pytest.MonkeyPatch, user: int, modes: list[int]
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: user)
    monkeypatch.setattr(os, "getgid", lambda: 0)
    atomic_files.write_json(volume.root / "one.json", {})
    with atomic_files.folder_beside(volume.report) as work:
        (work / "assets").mkdir()
        atomic_files.rename_folder(work, volume.report)
    paths = (volume.root / "one.json", volume.report, volume.report / "assets")
    assert [path.stat().st_mode & 0o777 for path in paths] == modes


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.ESTALE])
def test_a_failed_flush_raises_and_leaves_no_file(volume: Volume, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    refuse(monkeypatch, number, (os, "fsync"))
    with pytest.raises(OSError) as failed:
        atomic_files.write_json(volume.root / "one.json", {})
    assert (failed.value.errno, failed.value.filename) == (number, str(volume.root / "one.json"))
    assert list(volume.root.iterdir()) == []


def test_an_error_without_a_file_names_the_folder_that_is_written(volume: Volume) -> None:
    with pytest.raises(OSError) as failed, atomic_files.folder_beside(volume.report):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert (failed.value.errno, failed.value.filename) == (errno.ENOSPC, str(volume.report))


def test_a_work_folder_without_a_modification_time_is_kept(volume: Volume) -> None:
    with atomic_files.folder_beside(volume.report) as work:
        os.utime(work, (0, 0))
        with atomic_files.folder_beside(volume.report):
            assert work.is_dir()


def test_the_removal_of_leftovers_tolerates_a_renamed_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    renamed = tmp_path / ".1-renamed"
    monkeypatch.setattr(Path, "glob", lambda *_, **__: [renamed])
    atomic_files.remove_abandoned(tmp_path / "1")


def test_a_file_that_cannot_be_written_leaves_no_partial_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic_files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        atomic_files.write_json(tmp_path / "manifest.json", {})
    assert list(tmp_path.iterdir()) == []
