"""The subcommand `remove-runs`: what it prints, removes and refuses."""

import errno
import os
import re
import shutil
from pathlib import Path

import pytest

import pipeline_admin
from distml.administration.runs import NotRemoved
from distml.model import manifest
from distml.publishing import runs
from distml.publishing.versions import publication
from distml.publishing.versions.history import FOLDER
from distml.step import atomic_files
from distml.step.volume import Volume
from support.crashes import candidate
from support.runs import write_run


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    """Return a volume with the runs r0 to r3, of which r3 changed just now, and a version of r0."""
    volume = Volume(tmp_path / "volume")
    for number in range(4):
        write_run(volume, f"r{number}", days=3 - number)
    publication.publish(volume, candidate(volume), {"run": "r0"}, keep=5)
    return volume


def remove_runs(volume: Volume, *words: str) -> None:
    pipeline_admin.main(pipeline_admin.parse_args(["remove-runs", "--volume", str(volume), *words]))


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the printed lines without times and free space."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "<time>", capsys.readouterr().out)
    return [" ".join(line.split()) for line in re.sub(r"has [\d,]+ MB", "has <space> MB", text).splitlines()]


def left(volume: Volume) -> list[str]:
    return sorted(path.name for path in volume.runs.iterdir())


def test_a_removal_prints_why_each_run_stays_and_what_it_freed(
    volume: Volume, capsys: pytest.CaptureFixture[str]
) -> None:
    remove_runs(volume, "--keep=1")
    assert printed(capsys) == [
        "run MB last change (UTC) result",
        "--- --- ----------------- -------------------",
        "r3 1.0 <time> one of the last 1",
        "r2 1.0 <time> removed",
        "r1 1.0 <time> removed",
        "r0 1.0 <time> origin of version 1",
        "",
        "2 runs removed, which freed 2.0 MB; the volume has <space> MB free",
    ]
    assert left(volume) == ["r0", "r3"]


def test_a_dry_run_removes_nothing(volume: Volume, capsys: pytest.CaptureFixture[str]) -> None:
    hidden = atomic_files.hidden_beside(volume.run("r4"))
    hidden.mkdir()
    remove_runs(volume, "--keep=0", "--dry-run")
    assert [line.split(" <time> ")[-1] for line in printed(capsys)[2:]] == [
        *("changed within 24 hours", "would be removed", "would be removed", "origin of version 1", ""),
        "2 runs would be removed, which would free 2.0 MB; the volume has <space> MB free",
    ]
    assert left(volume) == [hidden.name, "r0", "r1", "r2", "r3"]


def test_a_volume_without_runs_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    remove_runs(Volume(tmp_path))
    assert printed(capsys) == ["0 runs removed, which freed 0.0 MB; the volume has <space> MB free"]
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_cannot_be_removed_does_not_keep_the_others(
    volume: Volume, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path == volume.run("r2"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(NotRemoved) as ended:
        remove_runs(volume, "--keep=0")
    assert (ended.value.exit_status, left(volume)) == (1, ["r0", "r2", "r3"])
    assert str(ended.value) == (
        f"not every old run could be removed: cannot use {volume.run('r2')}: Permission denied;"
        " let this user write there, or choose another place"
    )
    assert [line.split(" <time> ")[-1] for line in printed(capsys)[3:5]] == ["could not be removed", "removed"]


def test_an_unreadable_run_stays_and_is_reported(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = runs._measure

    def refuse(folder: Path) -> runs.Run:
        if folder.name == "r1":
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return measure(folder)

    monkeypatch.setattr(runs, "_measure", refuse)
    with pytest.raises(NotRemoved, match=rf"{volume.run('r1')}: Permission denied"):
        remove_runs(volume, "--keep=0")
    assert left(volume) == ["r0", "r1", "r3"]


def test_if_a_versions_origin_is_unknown_every_run_stays_with_a_warning(
    volume: Volume, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = volume.version(1) / manifest.MANIFEST
    damaged.write_text("{")
    shutil.rmtree(volume.versions / FOLDER)
    remove_runs(volume, "--keep=0")
    out, err = capsys.readouterr()
    assert err == (
        "warning: no run is removed, because each may be the one from which a version came: "
        f"{damaged} is damaged; remove {volume.version(1)} and train or publish again\n"
    )
    assert (out.count("perhaps a version's origin"), left(volume)) == (4, ["r0", "r1", "r2", "r3"])


@pytest.mark.parametrize("number", [errno.EBUSY, errno.ENOTEMPTY])
def test_files_that_another_process_has_open_are_left_with_a_warning(
    volume: Volume, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    unlink = os.unlink

    def refuse(path: str, **options: int) -> None:
        if path == "weights":
            raise OSError(number, os.strerror(number), path)
        unlink(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", refuse)
        for _ in range(2):
            remove_runs(volume, "--keep=2")
            hidden = next(volume.runs.glob(".r1-*"))
            assert capsys.readouterr().err == (
                "warning: another process uses files of a removed run, so a later removal deletes them: "
                f"cannot use {hidden}: {os.strerror(number)}\n"
            )
    remove_runs(volume, "--keep=2")
    assert (capsys.readouterr().err, left(volume)) == ("", ["r0", "r2", "r3"])


def test_the_rest_of_a_half_removed_run_is_reported_each_time(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden = atomic_files.hidden_beside(volume.run("r4"))
    hidden.mkdir()

    def refuse(path: Path, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            raise PermissionError(errno.EACCES, "Permission denied", "weights")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", refuse)
        for _ in range(2):
            with pytest.raises(NotRemoved, match=rf"cannot use {hidden}: Permission denied"):
                remove_runs(volume, "--keep=9")
    remove_runs(volume, "--keep=9")
    assert left(volume) == ["r0", "r1", "r2", "r3"]
