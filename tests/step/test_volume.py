"""Volumes that cannot do everything: no hard links, permissions, times or locks, as on Azure Files or under FUSE."""

import errno
import fcntl
import json
import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import pytest

from distml.model import manifest
from distml.publishing import report, versions
from distml.step import atomic_files, outcome
from distml.step import volume as volume_module
from distml.step.volume import Volume
from distml.training import run_identity

REFUSALS = [errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL]


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path / "volume")


@pytest.fixture
def candidate(volume: Volume) -> Path:
    folder = volume.candidate("run", "plain")
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"model")
    (folder / "variables" / "variables.index").write_bytes(b"weights")
    manifest.write(folder, {"model": "plain"})
    return folder


def refuse(monkeypatch: pytest.MonkeyPatch, number: int, *calls: tuple[object, str]) -> None:
    """Let the calls fail with this errno, which names no file."""

    def refused(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    for module, name in calls:
        monkeypatch.setattr(module, name, refused)


CHANGING_METADATA = [
    *((os, "chmod"), (os, "utime"), (os, "fsync"), (Path, "chmod")),
    *((shutil, "copystat"), (shutil, "copymode")),
]


@pytest.mark.parametrize("number", REFUSALS)
def test_a_volume_without_permissions_and_times_takes_all_files(
    volume: Volume, candidate: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse(monkeypatch, number, *CHANGING_METADATA)
    assert versions.publish(volume, candidate, {}, keep=5) == 1
    assert manifest.verified(volume.version(1))["version"] == 1
    atomic_files.write_json(volume.run_report("run") / "report.json", {"winner": "plain"})
    report.copy(volume, "run")
    assert json.loads((volume.report / "report.json").read_text()) == {"winner": "plain"}


def test_others_may_read_whatever_the_umask_is(volume: Volume) -> None:
    before = os.umask(0o077)
    try:
        atomic_files.write_json(volume.root / "one.json", {})
        with atomic_files.folder_beside(volume.report) as work:
            atomic_files.rename_folder(work, volume.report)
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (volume.root / "one.json", volume.report)] == [0o644, 0o755]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.ESTALE])
def test_a_disk_that_fails_to_keep_a_file_is_not_overlooked(
    volume: Volume, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse(monkeypatch, number, (os, "fsync"))
    with pytest.raises(OSError) as failed:
        atomic_files.write_json(volume.root / "one.json", {})
    assert (failed.value.errno, failed.value.filename) == (number, str(volume.root / "one.json"))
    assert list(volume.root.iterdir()) == []


def test_a_folder_without_a_time_may_be_in_use_and_stays(volume: Volume) -> None:
    with atomic_files.folder_beside(volume.report) as work:
        os.utime(work, (0, 0))
        with atomic_files.folder_beside(volume.report):
            assert work.is_dir()


NO_LINKS = [*REFUSALS, errno.EMLINK, errno.EXDEV]


@pytest.mark.parametrize("number", NO_LINKS)
def test_a_run_is_claimed_without_hard_links(volume: Volume, monkeypatch: pytest.MonkeyPatch, number: Any) -> None:
    refuse(monkeypatch, number, (os, "link"))
    for _ in range(2):
        run_identity.claim_run(volume, "mine", {"data_sha256": "a"})
    with pytest.raises(outcome.StepError, match="run mine was made with other data_sha256"):
        run_identity.claim_run(volume, "mine", {"data_sha256": "b"})
    (record,) = volume.run("mine").iterdir()
    assert (json.loads(record.read_text()), record.stat().st_mode & 0o777) == ({"data_sha256": "a"}, 0o644)


def claim(volume: Volume, identity: str) -> str | None:
    """The identity, if the claim succeeded."""
    try:
        run_identity.claim_run(volume, "mine", {"data_sha256": identity})
    except outcome.StepError:
        return None
    return identity


def test_of_many_claims_at_once_one_identity_wins_without_links(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, errno.EPERM, (os, "link"))
    with ThreadPoolExecutor(8) as workers:
        for number in range(20):
            folder = Volume(volume.root / str(number))
            won = list(workers.map(claim, [folder] * 8, "abababab"))
            recorded = json.loads((folder.run("mine") / "run.json").read_text())["data_sha256"]
            assert sorted(filter(None, won)) == [recorded] * 4


def test_a_record_that_another_worker_is_writing_is_waited_for(volume: Volume) -> None:
    record = volume.run("mine") / "run.json"
    record.parent.mkdir(parents=True)
    record.write_text('{"data_sha256":')
    timer = threading.Timer(0.5, record.write_text, ['{"data_sha256": "a"}'])
    timer.start()
    assert claim(volume, "a") == "a"
    timer.join()


def test_a_claim_that_cannot_be_written_leaves_no_record(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, errno.EPERM, (os, "link"))
    refuse(monkeypatch, errno.ENOSPC, (run_identity, "flush_to_disk"))
    with pytest.raises(OSError) as failed:
        claim(volume, "a")
    assert (failed.value.errno, failed.value.filename) == (errno.ENOSPC, str(volume.run("mine") / "run.json"))
    assert list(volume.run("mine").iterdir()) == []


def test_a_store_that_calls_the_slower_claim_stale_keeps_the_faster(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overwritten(file: IO[str]) -> None:
        file.flush()
        Path(file.name).write_text('{"data_sha256": "b"}')
        raise OSError(errno.ESTALE, "Stale file handle")

    refuse(monkeypatch, errno.EPERM, (os, "link"))
    monkeypatch.setattr(run_identity, "flush_to_disk", overwritten)
    assert claim(volume, "a") is None
    assert json.loads((volume.run("mine") / "run.json").read_text()) == {"data_sha256": "b"}


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL])
def test_without_locks_one_line_says_what_is_not_guarded(
    volume: Volume, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    refuse(monkeypatch, number, (fcntl, "flock"))
    with volume_module.hold_lock(volume) as descriptor:
        assert os.fstat(descriptor)
    assert capsys.readouterr().err == (
        f"warning: {volume} has no file locks ({os.strerror(number)}); nothing keeps a second run off it, so start one"
        " at a time\n"
    )


@pytest.mark.parametrize("number", [errno.EWOULDBLOCK, errno.EACCES])
def test_a_lock_that_another_run_holds_is_respected(
    volume: Volume, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse(monkeypatch, number, (fcntl, "flock"))
    with pytest.raises(volume_module.InUse):
        volume_module.hold_lock(volume).__enter__()


def test_a_lock_on_a_failing_disk_is_no_missing_lock(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, errno.EIO, (fcntl, "flock"))
    with pytest.raises(OSError) as failed:
        volume_module.hold_lock(volume).__enter__()
    assert (failed.value.errno, failed.value.filename) == (errno.EIO, str(volume.lock))
