"""The choice of the runs that stay on a volume, and removals that are killed or that meet each other."""

import errno
import os
import shutil
import time
from pathlib import Path

import pytest

from distml.model import manifest
from distml.publishing import runs
from distml.publishing.versions import decisions, folders, publication
from distml.publishing.versions.history import FOLDER
from distml.step import atomic_files
from distml.step.volume import Volume
from support.crashes import at_once, candidate, killed_before_each_write
from support.refusals import refuse
from support.runs import write_run


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    """Return a volume with the runs r0 to r5, of which r5 changed last, and versions of r0 (withdrawn) and r1."""
    volume = Volume(tmp_path / "volume")
    for number in range(6):
        write_run(volume, f"r{number}", days=10 - number)
    for number in range(2):
        publication.publish(volume, candidate(volume), {"run": f"r{number}"}, keep=5)
    decisions.withdraw(volume, 1, "it is bad")
    return volume


def reasons(volume: Volume, keep: int = 0, unused_hours: int = 24) -> dict[str, str]:
    found, errors = runs.find(volume)
    assert errors == []
    return runs.reasons_to_stay(volume, found, keep, unused_hours)


def test_the_last_runs_and_the_origins_of_versions_stay(volume: Volume) -> None:
    origins = {"r0": "origin of version 1", "r1": "origin of version 2"}
    assert reasons(volume) == origins
    assert reasons(volume, keep=2) == origins | {"r5": "one of the last 2", "r4": "one of the last 2"}


def test_the_origin_of_a_removed_version_need_not_stay(volume: Volume) -> None:
    shutil.rmtree(folders.find(volume, 1))
    assert reasons(volume) == {"r1": "origin of version 2"}


@pytest.mark.parametrize("place", [".", "checkpoints", "checkpoints/plain-seed1/weights"])
def test_a_run_that_changed_in_any_folder_is_in_use(volume: Volume, place: str) -> None:
    os.utime(volume.run("r3") / place)
    assert reasons(volume)["r3"] == "changed within 24 hours"
    assert "r3" not in reasons(volume, unused_hours=0)
    assert reasons(volume, unused_hours=10**400).keys() == {f"r{number}" for number in range(6)}


def test_what_is_not_a_run_is_left_alone(volume: Volume, tmp_path: Path) -> None:
    (volume.runs / "notes.txt").touch()
    (volume.runs / "empty").mkdir()
    (volume.runs / "of a colleague" / "report").mkdir(parents=True)
    (volume.runs / "of a colleague" / "notes").mkdir()
    (volume.runs / ".hidden").mkdir()
    volume.run("link").symlink_to(write_run(Volume(tmp_path / "elsewhere"), "r9", days=30))
    assert [run.name for run in runs.find(volume)[0]] == [f"r{number}" for number in reversed(range(6))]


def test_the_manifest_names_the_run_of_a_version_without_a_record(volume: Volume) -> None:
    shutil.rmtree(volume.versions / FOLDER)
    assert reasons(volume) == {"r0": "origin of version 1", "r1": "origin of version 2"}


def test_a_version_that_was_not_trained_here_protects_no_run(volume: Volume) -> None:
    publication.publish(volume, candidate(volume), {}, keep=5)
    shutil.rmtree(volume.versions / FOLDER)
    (volume.version(3) / manifest.MANIFEST).unlink()
    volume.version(4).mkdir()
    assert reasons(volume).keys() == {"r0", "r1"}


def test_nothing_is_removed_if_a_versions_run_is_unknown(volume: Volume) -> None:
    shutil.rmtree(volume.versions / FOLDER)
    (volume.version(2) / manifest.MANIFEST).write_text("{")
    with pytest.raises(runs.OriginUnknown, match=f"{volume.version(2) / manifest.MANIFEST} is damaged; "):
        reasons(volume)


def test_nothing_is_removed_if_the_history_cannot_be_read(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, errno.EACCES, (Path, "iterdir"))
    with pytest.raises(runs.OriginUnknown, match="Permission denied"):
        runs.versions_by_run(volume)


def test_a_run_from_which_a_version_is_prepared_is_in_use(volume: Volume) -> None:
    found = {run.name: run for run in runs.find(volume)[0]}
    runs.mark_used(volume, "r2")
    runs.mark_used(volume, "no-run")
    assert reasons(volume)["r2"] == "changed within 24 hours"
    assert not runs.remove(volume, found["r2"])


def test_a_file_from_the_future_does_not_keep_its_run_for_ever(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    os.utime(volume.run("r2") / "run.json", (now + 1e9, now + 1e9))
    assert reasons(volume)["r2"] == "changed within 24 hours"
    monkeypatch.setattr(time, "time", lambda: now + 25 * 3600)
    assert "r2" not in reasons(volume)


@pytest.mark.parametrize("part", ["failures", "report"])
def test_what_outlived_the_removal_of_a_run_is_removed_as_one(volume: Volume, part: str) -> None:
    (volume.run("r9") / part).mkdir(parents=True)
    os.utime(volume.run("r9") / part, (0, 0))
    os.utime(volume.run("r9"), (0, 0))
    found = {run.name: run for run in runs.find(volume)[0]}
    assert runs.remove(volume, found["r9"]) and not volume.run("r9").exists()


def test_a_run_that_changes_or_is_published_meanwhile_stays(volume: Volume) -> None:
    found = {run.name: run for run in runs.find(volume)[0]}
    os.utime(volume.run("r2"))
    publication.publish(volume, candidate(volume), {"run": "r3"}, keep=5)
    shutil.rmtree(volume.run("r4"))
    assert [runs.remove(volume, found[name]) for name in ("r2", "r3", "r4", "r5")] == [False, False, False, True]
    assert [path.name for path in sorted(volume.runs.iterdir())] == ["r0", "r1", "r2", "r3"]


def test_a_removal_killed_at_any_write_leaves_no_partial_run(volume: Volume, tmp_path: Path) -> None:
    whole = {path.relative_to(volume.run("r2")) for path in volume.run("r2").rglob("*")}
    copies = killed_before_each_write("remove runs", volume.root, tmp_path / "copies")
    assert len(copies) > 10
    for copy in copies:
        left = {run.name for run in runs.find(copy)[0]}
        assert {"r0", "r1", "r4", "r5"} <= left
        assert all({path.relative_to(copy.run(name)) for path in copy.run(name).rglob("*")} == whole for name in left)
        assert runs.remove_leftovers(copy) == []
        assert {path.name for path in copy.runs.iterdir()} == left


def test_removals_at_the_same_time_remove_each_run_once(volume: Volume) -> None:
    at_once(["remove runs"] * 4, volume)
    assert [path.name for path in sorted(volume.runs.iterdir())] == ["r0", "r1", "r4", "r5"]


def test_a_fresh_start_also_removes_half_removed_runs(volume: Volume) -> None:
    atomic_files.hidden_beside(volume.run("r6")).mkdir()
    volume.clear()
    assert list(volume.runs.iterdir()) == []
