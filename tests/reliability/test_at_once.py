"""Pipelines, steps and decisions about versions that run at the same time on one volume."""

import itertools
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import with_data
from distml.model import manifest
from distml.publishing.versions import decisions, folders, history_table, publication
from distml.publishing.versions.history import Event, History
from distml.step.volume import Volume
from reliability.promises import Promise, attack
from support.crashes import at_once, candidate
from support.project import SOURCE

TRAINING = ("--epochs", 1, "--train-images", 640)
NO_FLOOR = ("--accuracy-floor", 0.01)
# Decisions at the same time; the volume has the versions 1 to 4, of which 3 is released, and 2 was before.
TOGETHER = (
    ("publish", "publish"),
    ("publish", "roll-back"),
    ("publish", "withdraw"),
    ("publish", "release"),
    ("publish", "reject"),
    ("roll-back", "withdraw"),
    ("publish", "publish", "publish", "publish"),
    ("publish", "roll-back", "withdraw", "reject", "release", "complete", "publish"),
)
# Each process waits up to this long before each write.
LONGEST_WAIT = 0.003

Record = Callable[[str, object], None]


@pytest.fixture
def four_versions(tmp_path: Path) -> Volume:
    volume = Volume(tmp_path / "four")
    for number in range(1, 5):
        publication.publish(volume, candidate(volume), {}, keep=5)
        if number in (2, 3):
            decisions.release(volume, number, "it is good")
    return volume


def check(volume: Volume, published: int) -> None:
    """Check that the history has `published` publications and no gap, and that files and table agree with it."""
    reader = History(volume.versions)
    records, state = reader.records(), reader.state()
    assert [record.sequence for record in records] == [*range(1, len(records) + 1)], "a gap in the history"
    numbers = [record.version for record in records if record.event is Event.PUBLISHED]
    assert sorted(numbers) == [*range(1, published + 1)], f"{published} publications gave the versions {numbers}"
    kept = folders.kept(volume.versions, state)
    assert {*kept} >= {*range(max(1, published - 1), published + 1)}, f"one of the newest two is lost: {kept} stay"
    assert state.released in (None, *kept), f"version {state.released} is released and lost"
    for number in kept:
        digest = manifest.verified(folders.find(volume, number))["digest"]
        assert digest == state.published[number].facts["digest"], f"version {number} is not the one published"
    assert folders.numbers(volume.versions) == folders.offered(volume.versions, state), "a withdrawn version is offered"
    away = folders.numbers(volume.versions / folders.WITHDRAWN)
    assert volume.history.read_text() == history_table.render(records, state, away), "the table is out of date"


def check_recorded(volume: Volume, done: list[str]) -> None:
    """Check that the history has each decision that ended well; the other kinds may find nothing to decide."""
    events = [record.event for record in History(volume.versions).records()]
    for name, event in (("withdraw", Event.WITHDRAWN), ("roll-back", Event.ROLLED_BACK)):
        assert events.count(event) == done.count(name), f"{name} ended well, and is not in the history: {events}"


@attack(Promise.AT_ONCE, "two to seven decisions about versions at once", quick=5, hour=100, night=1000)
def test_decisions_at_once_lose_no_version(
    times: int, four_versions: Volume, tmp_path: Path, record_property: Record
) -> None:
    made, lost = 0, []
    for number, names in zip(range(times), itertools.cycle(TOGETHER), strict=False):
        volume = Volume(tmp_path / "copy")
        shutil.copytree(four_versions.root, volume.root)
        try:
            statuses = at_once(list(names), volume, LONGEST_WAIT)
            decisions.complete(volume)
            check(volume, published=4 + names.count("publish"))
            check_recorded(volume, [name for name, status in zip(names, statuses, strict=True) if status == 0])
        except (AssertionError, subprocess.CalledProcessError) as error:
            lost.append(f"{', '.join(names)} at once: {error}")
            shutil.copytree(volume.root, tmp_path / f"lost-{number}")
        shutil.rmtree(volume.root)
        made += len(names)
    record_property("times", times)
    record_property("lost", len(lost))
    record_property("decisions", made)
    assert not lost, "\n".join(lost)


def start(script: str, *options: object) -> subprocess.Popen:
    """Start a step script as a user would."""
    command = [sys.executable, str(SOURCE / script), *map(str, options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ends(processes: list[subprocess.Popen]) -> list[tuple[int, str]]:
    """Return the exit status and stderr of each process."""
    outputs = [process.communicate()[1] for process in processes]
    return [(process.returncode, errors) for process, errors in zip(processes, outputs, strict=True)]


def check_one_result(volume: Volume) -> None:
    """Check that the volume has what one pipeline leaves: a run, its candidate and its version."""
    runs = [path.name for path in volume.runs.iterdir()]
    assert runs == ["shared"], f"there are the runs {runs}"
    assert [path.name for path in volume.candidates("shared").iterdir()] == ["dropout-seed1"]
    trained = manifest.verified(volume.candidate("shared", "dropout", 1))
    check(volume, published=1)
    assert manifest.verified(volume.version(1))["candidate_digest"] == trained["digest"]
    hidden = {".lock", folders.HIGHEST, ".history"}
    found = [*volume.root.glob(".*"), *volume.versions.glob(".*"), *volume.candidates("shared").glob(".*")]
    assert {path.name for path in found} <= hidden, f"something is left behind: {found}"


@attack(Promise.AT_ONCE, "two whole pipelines at once on one volume, started up to 8 s apart", hour=3, night=20)
def test_two_pipelines_at_once_leave_what_one_leaves(
    times: int, tmp_path: Path, volume_with_data: Volume, record_property: Record
) -> None:
    refused, lost = 0, []
    for number in range(times):
        volume = with_data(tmp_path / str(number), volume_with_data)
        options = ("--volume", volume, "--run", "shared", "--models", "dropout", *TRAINING, *NO_FLOOR)
        first = start("local_pipeline.py", *options)
        time.sleep(random.uniform(0, 8))
        both = ends([first, start("local_pipeline.py", *options)])
        try:
            for status, errors in both:
                line = f"local_pipeline.py: another run uses {volume} (or workers that it left behind)"
                is_refused = status == 1 and errors.startswith(line) and errors.count("\n") == 1
                refused += is_refused
                assert status == 0 or is_refused, f"status {status}: {errors}"
            assert 0 in [status for status, _ in both], "both were refused"
            check_one_result(volume)
        except AssertionError as error:
            lost.append(str(error))
    record_property("times", times)
    record_property("lost", len(lost))
    record_property("refused_with_one_line", refused)
    assert not lost, "\n".join(lost)


@attack(Promise.AT_ONCE, "each step twice at once, without the pipeline's lock", hour=2, night=20)
def test_each_step_twice_at_once_leaves_one_result(
    times: int, tmp_path: Path, source_folder: Path, record_property: Record
) -> None:
    lost = []
    for number in range(times):
        volume = Volume(tmp_path / str(number))
        shared = ("--volume", volume, "--run", "shared")
        steps: list[tuple[str, tuple]] = [
            ("data_ingestion.py", ("--volume", volume, "--source", source_folder)),
            ("multi_worker_distributed_training.py", (*shared, "--model", "dropout", *TRAINING)),
            ("model_selection.py", (*shared, *NO_FLOOR)),
        ]
        try:
            for script, options in steps:
                for status, errors in ends([start(script, *options), start(script, *options)]):
                    assert status == 0, f"{script} ended with status {status}: {errors}"
            check_one_result(volume)
        except AssertionError as error:
            lost.append(str(error))
    record_property("times", times)
    record_property("lost", len(lost))
    record_property("steps", 3 * times)
    assert not lost, "\n".join(lost)
