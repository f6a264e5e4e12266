"""A clock that jumps between the steps and during them: every result is that of a clock that is right."""

import itertools
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import with_data
from distml.data import fashion_mnist
from distml.model import manifest
from distml.publishing.versions import decisions, folders, publication
from distml.publishing.versions.history import History
from distml.step.volume import Volume
from reliability.promises import Promise, attack
from support import bad_versions, disturbed_group
from support.crashes import DECISIONS, at_once, candidate
from support.jumping_clock import JUMPS, JumpingClock
from support.load import Load
from support.predictor_process import predictor
from support.project import run_script
from support.runs import write_run

SHADOW_SECONDS = 0.3
Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> JumpingClock:
    return JumpingClock(tmp_path_factory.mktemp("clock"))


@pytest.fixture
def fast_clock(clock: JumpingClock, monkeypatch: pytest.MonkeyPatch) -> JumpingClock:
    """Return a clock that every process has which the test starts."""
    for name, value in clock.environment.items():
        monkeypatch.setenv(name, value)
    return clock


@pytest.fixture
def four_versions(tmp_path: Path) -> Volume:
    volume = Volume(tmp_path / "four")
    for _ in range(4):
        publication.publish(volume, candidate(volume), {}, keep=9)
    return volume


def finish(lost: list[str], times: int, record: Record) -> None:
    record("times", times)
    record("lost", len(lost))
    assert not lost, "\n".join(lost)


def state_of(volume: Volume) -> tuple:
    """Return what a predictor reads: the released version, the withdrawn and the offered ones, and every decision."""
    history = History(volume.versions)
    state = history.state()
    kept = {number: manifest.verified(folders.find(volume, number)) for number in folders.kept(volume.versions, state)}
    decided = [
        (record.sequence, record.event, record.version, record.facts.get("withdrawn")) for record in history.records()
    ]
    return state.released, sorted(state.withdrawn), folders.offered(volume.versions, state), sorted(kept), decided


@attack(Promise.CLOCK, "every decision about versions at another wrong time", quick=1, hour=10, night=100)
def test_decisions_at_wrong_times_are_those_of_a_right_clock(
    times: int, fast_clock: JumpingClock, four_versions: Volume, tmp_path: Path, record_property: Record
) -> None:
    choice, lost = random.Random(), []
    names = sorted({*DECISIONS} - {"publish signed", "release without links", "remove runs"})
    for number in range(times):
        made = choice.choices(names, k=6)
        volumes = [Volume(tmp_path / f"{clock}-{number}") for clock in ("right", "wrong")]
        for volume in volumes:
            shutil.copytree(four_versions.root, volume.root)
            for name in made:
                offset = choice.choice([*JUMPS.values()]) if volume is volumes[1] else 0
                with fast_clock.wrong(offset, volume.root):
                    at_once([name], volume)
        right, wrong = map(state_of, volumes)
        if right != wrong:
            lost.append(f"{made}: {wrong} in place of {right}")
    record_property("decisions", 6 * times)
    finish(lost, times, record_property)


@attack(
    Promise.CLOCK,
    "publications and a withdrawal at once, while the clock jumps every 2 ms",
    quick=3,
    hour=40,
    night=500,
)
def test_decisions_during_jumps_lose_no_version(
    times: int, fast_clock: JumpingClock, four_versions: Volume, tmp_path: Path, record_property: Record
) -> None:
    lost = []
    for number in range(times):
        volume = Volume(tmp_path / str(number))
        shutil.copytree(four_versions.root, volume.root)
        try:
            with fast_clock.jumping(random.Random(), 0.002):
                at_once(["publish", "publish", "withdraw", "publish"], volume, 0.01)
            decisions.complete(volume)
            _, withdrawn, offered, _, decided = state_of(volume)
            assert (withdrawn, offered[-1]) == ([4], 7), f"offered {offered}, withdrawn {withdrawn}"
            assert [place for place, *_ in decided] == [*range(1, 9)], decided
        except (AssertionError, subprocess.CalledProcessError, IndexError) as error:
            lost.append(str(error))
    record_property("decisions", 4 * times)
    finish(lost, times, record_property)


@attack(
    Promise.CLOCK,
    "the removal of runs at a wrong time, and with the files of a run in the future",
    quick=5,
    hour=20,
    night=100,
)
def test_no_needed_run_is_removed_at_a_wrong_time(
    times: int, fast_clock: JumpingClock, tmp_path: Path, record_property: Record
) -> None:
    lost = []
    for number, (jump, offset) in zip(range(times), itertools.cycle(JUMPS.items()), strict=False):
        volume = Volume(tmp_path / str(number))
        for name, days in {"origin": 9, "old": 8, "older": 10, "used": 0.1, "newest": 0}.items():
            write_run(volume, name, days)
        publication.publish(volume, candidate(volume), {"run": "origin"}, keep=2)
        with fast_clock.wrong(offset, volume.root):
            at_once(["remove runs"], volume)
        left = {path.name for path in volume.runs.iterdir()}
        if not left >= {"origin", "used", "newest"}:
            lost.append(f"{jump}: only {sorted(left)} stay")
        write_run(volume, "future", -400)
        at_once(["remove runs"], volume)
        left = {path.name for path in volume.runs.iterdir()}
        if left != {"origin", "used", "newest", "future"}:
            lost.append(f"{jump}, then right, with a run in the future: {sorted(left)} stay")
    finish(lost, times, record_property)


@attack(Promise.CLOCK, "a whole pipeline: jumps between the steps and during the training", hour=1, night=15)
def test_a_pipeline_with_jumps_gives_the_weights_of_one_without(
    times: int,
    clock: JumpingClock,
    volume_with_data: Volume,
    source_folder: Path,
    tmp_path: Path,
    record_property: Record,
) -> None:
    choice, lost, restarts = random.Random(), [], 0
    data = fashion_mnist.verified_manifest(volume_with_data)["data_sha256"]
    right = with_data(tmp_path / "right", volume_with_data)
    group = disturbed_group.start(right, "right")
    assert group.end(240) == 0, group.lines
    for number in range(times):
        volume = Volume(tmp_path / f"wrong-{number}")
        volume.root.mkdir()
        try:
            step(clock, choice, volume, "data_ingestion.py", "--source", source_folder)
            assert fashion_mnist.verified_manifest(volume)["data_sha256"] == data, "other data"
            restarts += train(clock, choice, volume)
            assert disturbed_group.result(volume, "wrong") == disturbed_group.result(right, "right"), "other weights"
            for _ in range(2):  # the second finds that the first has published
                step(clock, choice, volume, "model_selection.py", "--run", "wrong", "--accuracy-floor", 0.01)
            assert manifest.verified(volume.version(1))["run"] == "wrong"
            assert state_of(volume)[2:4] == ([1], [1]), "not one version"
            assert (volume.report / "index.html").exists(), "no report"
        except AssertionError as error:
            lost.append(str(error))
    record_property("restarts_of_all_workers", restarts)
    finish(lost, times, record_property)


def step(clock: JumpingClock, choice: random.Random, volume: Volume, script: str, *options: object) -> None:
    """Run a step at a wrong time."""
    name = choice.choice([*JUMPS])
    with clock.wrong(JUMPS[name], volume.root):
        ended = run_script(script, "--volume", volume, *options, **clock.environment)
    assert ended.returncode == 0, f"{script} {name}: {ended.stderr}"


def train(clock: JumpingClock, choice: random.Random, volume: Volume) -> int:
    """Train while the clock jumps three times, as often as the group may restart; return how often it did."""
    group = disturbed_group.start(volume, "wrong", **clock.environment)
    for _ in range(3):
        time.sleep(choice.uniform(1, 8))
        clock.set(choice.choice([*JUMPS.values()]))
    status = group.end(240)
    clock.set(0)
    assert status == 0, "\n".join(group.lines[-20:])
    return group.count("; restarting all")


@attack(
    Promise.CLOCK,
    "a guarded predictor under load: each new version has its trial while the clock jumps",
    hour=5,
    night=50,
)
def test_a_predictor_whose_clock_jumps_releases_each_version(
    times: int, fast_clock: JumpingClock, served: Volume, tmp_path: Path, record_property: Record
) -> None:
    lost = []
    options = ("--release", "guarded", "--shadow-seconds", SHADOW_SECONDS, "--probation-seconds", 0.3)
    serving = predictor(served, tmp_path / "log", *options)
    with serving as server, Load(server) as load, fast_clock.jumping(random.Random(), 0.05):
        for _ in range(times):
            offered = time.monotonic()
            answered = 200, str(bad_versions.offer(served, served.version(1)))
            try:
                server.wait(lambda answered=answered: load.outcomes[answered], f"answered by version {answered[1]}")
                assert time.monotonic() - offered >= SHADOW_SECONDS, f"version {answered[1]} had no trial"
            except AssertionError as error:
                lost.append(str(error))
    lost += [f"{count} requests: {outcome}" for outcome, count in load.outcomes.items() if outcome[0] != 200]
    record_property("requests", load.outcomes.total())
    finish(lost, times, record_property)
