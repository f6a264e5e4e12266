"""The watch of a guarded predictor: which version it starts with, and which trials it begins and ends."""

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from distml.model import manifest as model_manifest
from distml.protocol.contract import Stage
from distml.publishing.versions.history import Event, History
from distml.serving.batching import Batcher
from distml.serving.release import served_version, trial
from distml.serving.release.comparison import Bounds, read_reference
from distml.serving.release.served_version import ServedVersion
from distml.serving.release.version_watch import VersionWatch
from distml.step.outcome import StepError
from support.fake_versions import IMAGES, NAMES, right, write_reference, wrong_for_class_3
from support.version_folders import publishing, remove

ENGINES = {"right": right, "also right": right, "wrong": wrong_for_class_3}
BOUNDS = Bounds(0.02, 0.15, max_slowdown=1000, shadow_seconds=0.05, probation_seconds=0.05)
TRIAL = [Stage.CHECKING, Stage.SHADOW, Stage.PROBATION, Stage.RELEASED]
# For trials that something ends before their time.
LONG_SHADOW, LONG_PROBATION = replace(BOUNDS, shadow_seconds=60), replace(BOUNDS, probation_seconds=60)


def publish(folder: Path, number: int, engine: str = "right") -> None:
    with publishing(folder, number) as work:
        write_reference(work, ENGINES.get(engine, right), 100)
        model_manifest.write(work, {"engine": engine, "class_names": NAMES, "number": number})


def load(folder: Path, threads: int, public_key: Path | None) -> ServedVersion:
    manifest = json.loads((folder / model_manifest.MANIFEST).read_text())
    if manifest["engine"] not in ENGINES:
        raise StepError("damaged")
    return ServedVersion(int(folder.name), manifest, ENGINES[manifest["engine"]])


@pytest.fixture(autouse=True)
def fake_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served_version, "load", load)


class Running:
    """A watch that follows a folder, and the batcher that it gives versions to."""

    def __init__(self, folder: Path, bounds: Bounds | None) -> None:
        self.watch = VersionWatch(folder, 1, bounds)
        first = self.watch.first()
        assert first
        self.batcher = Batcher(first)
        # The number of each version that took over.
        self.taken: list[int] = []
        self.entries: list[tuple[int, Stage, str]] = []
        enter = self.watch.releases.enter

        def record(version: int, digest: str, stage: Stage, reason: str = "") -> None:
            self.entries.append((version, stage, reason))
            enter(version, digest, stage, reason)

        self.watch.releases.enter = record  # type: ignore[method-assign]

    def switch_to(self, version: ServedVersion) -> None:
        self.taken.append(version.number)
        self.batcher.version = version

    async def until(self, number: int, stage: Stage) -> str:
        """Wait until a version has reached a stage; return the reason."""
        async with asyncio.timeout(20):
            while True:
                for version, reached, reason in self.entries:
                    if (version, reached) == (number, stage):
                        return reason
                await asyncio.sleep(0.002)

    async def answering(self) -> int:
        return (await self.batcher.classify(IMAGES[:1]))[1].number

    def stages(self, number: int) -> list[Stage]:
        return [stage for version, stage, _ in self.entries if version == number]


@asynccontextmanager
async def following(folder: Path, bounds: Bounds | None = BOUNDS) -> AsyncIterator[Running]:
    running = Running(folder, bounds)
    task = asyncio.create_task(running.watch.follow(running.batcher, running.switch_to, 0.01))
    yield running
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert running.batcher.fallback is running.batcher.observer is None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    publish(tmp_path, 1)
    return tmp_path


def run(main: Callable[[], Coroutine]) -> None:
    asyncio.run(main())


@pytest.mark.parametrize(("released", "number"), [(2, 2), (1, 1), (None, 3)])
def test_a_guarded_predictor_starts_with_the_released_version(folder: Path, released: int | None, number: int) -> None:
    publish(folder, 2)
    publish(folder, 3)
    if released:
        History(folder).append(Event.RELEASED, released)
    watch = VersionWatch(folder, 1, BOUNDS)
    assert watch.first()
    (release,) = watch.releases
    assert (release.version, release.reason) == (
        number,
        "the predictor started with it; that is not recorded in the history",
    )


@pytest.mark.parametrize(("damaged", "number"), [([2], 1), ([1, 2], 3)])
def test_without_its_released_version_a_predictor_starts_with_an_older_one(
    folder: Path, damaged: list[int], number: int
) -> None:
    for each in (2, 3, 4):
        publish(folder, each)
    for each in damaged:
        publish(folder, each, "none")
    History(folder).append(Event.RELEASED, 2)
    first = VersionWatch(folder, 1, BOUNDS).first()
    assert first and first.number == number


def test_a_newer_version_takes_over_by_a_trial(folder: Path) -> None:
    async def main() -> None:
        async with following(folder) as running:
            publish(folder, 2)
            await running.until(2, Stage.RELEASED)
            assert (running.stages(2), await running.answering()) == (TRIAL, 2)

    run(main)


def test_a_rejected_version_is_tried_again_only_after_a_change(folder: Path) -> None:
    async def main() -> None:
        async with following(folder) as running:
            publish(folder, 2, "wrong")
            assert (await running.until(2, Stage.REJECTED)).startswith("its accuracy on 100 reference images is 0.900,")
            await asyncio.sleep(0.1)
            assert running.stages(2) == [Stage.CHECKING, Stage.REJECTED]
            publish(folder, 2)
            await running.until(2, Stage.RELEASED)
            assert running.taken == [2]

    run(main)


def test_a_damaged_version_is_refused_once_until_its_files_change(folder: Path) -> None:
    async def main() -> None:
        async with following(folder) as running:
            publish(folder, 2, "none")
            await running.until(2, Stage.REJECTED)
            await asyncio.sleep(0.1)
            assert (running.stages(2), await running.answering()) == ([Stage.REJECTED], 1)
            publish(folder, 2)
            await running.until(2, Stage.RELEASED)

    run(main)


def test_after_a_withdrawal_the_released_version_answers_at_once(folder: Path) -> None:
    for number in (2, 3):
        publish(folder, number)
    history = History(folder)
    for number in (1, 3):
        history.append(Event.RELEASED, number)

    async def main() -> None:
        async with following(folder) as running:
            history.append(Event.WITHDRAWN, 3, "blurred")
            assert await running.until(1, Stage.RELEASED) == "version 3 was withdrawn"
            assert re.fullmatch(r"withdrawn at \S+: blurred", await running.until(3, Stage.ENDED))
            assert (running.taken, await running.answering()) == ([1], 1)

    run(main)


def test_a_release_in_the_history_needs_no_trial(folder: Path) -> None:
    async def main() -> None:
        async with following(folder) as running:
            History(folder).append(Event.RELEASED, 2)
            publish(folder, 2, "wrong")
            assert await running.until(2, Stage.RELEASED) == "the history says that it is released"
            assert running.stages(2) == [Stage.RELEASED]

    run(main)


@pytest.mark.parametrize("stage", TRIAL[1:3])
def test_a_release_in_the_history_ends_a_trial_as_released(folder: Path, stage: Stage) -> None:
    async def main() -> None:
        async with following(folder, LONG_SHADOW if stage is Stage.SHADOW else LONG_PROBATION) as running:
            publish(folder, 2)
            await running.until(2, stage)
            candidate = running.watch._trial and running.watch._trial.candidate
            History(folder).append(Event.RELEASED, 2)
            assert await running.until(2, Stage.RELEASED) == "the history says that it is released"
            assert (running.stages(2), running.taken) == ([*TRIAL[: TRIAL.index(stage) + 1], Stage.RELEASED], [2])
            assert running.batcher.version is candidate

    run(main)


def test_a_release_counts_only_for_the_files_that_were_published(folder: Path) -> None:
    async def main() -> None:
        async with following(folder) as running:
            history = History(folder)
            history.append(Event.PUBLISHED, 2, digest="another")
            history.append(Event.RELEASED, 2)
            publish(folder, 2, "wrong")
            await running.until(2, Stage.REJECTED)
            assert (running.stages(2), running.taken) == ([Stage.CHECKING, Stage.REJECTED], [])

    run(main)


@pytest.mark.parametrize(("before", "number"), [(2, 2), (None, 1)])
def test_a_start_does_not_trust_a_released_version_with_other_files(
    folder: Path, before: int | None, number: int
) -> None:
    for each in (2, 3):
        publish(folder, each)
    history = History(folder)
    history.append(Event.PUBLISHED, 3, digest="another")
    for each in filter(None, (before, 3)):
        history.append(Event.RELEASED, each)
    first = VersionWatch(folder, 1, BOUNDS).first()
    assert first and first.number == number


@pytest.mark.parametrize("bounds", [LONG_SHADOW, LONG_PROBATION])
def test_a_withdrawal_ends_the_trial(folder: Path, bounds: Bounds) -> None:
    async def main() -> None:
        async with following(folder, bounds) as running:
            publish(folder, 2)
            await running.until(2, Stage.SHADOW if bounds is LONG_SHADOW else Stage.PROBATION)
            History(folder).append(Event.WITHDRAWN, 2, "a mistake")
            assert re.fullmatch(r"withdrawn at \S+: a mistake", await running.until(2, Stage.ENDED))
            assert await running.answering() == 1

    run(main)


def test_a_still_newer_version_ends_the_trial(folder: Path) -> None:
    async def main() -> None:
        async with following(folder) as running:
            running.watch._bounds = LONG_PROBATION
            publish(folder, 2)
            await running.until(2, Stage.PROBATION)
            running.watch._bounds = BOUNDS
            publish(folder, 3)
            assert await running.until(2, Stage.ENDED) == "version 3 is newer"
            await running.until(3, Stage.RELEASED)
            assert (running.taken, running.stages(3)) == ([2, 1, 3], TRIAL)

    run(main)


def test_a_damaged_newer_version_does_not_end_the_trial(folder: Path) -> None:
    async def main() -> None:
        async with following(folder, LONG_PROBATION) as running:
            publish(folder, 2)
            await running.until(2, Stage.PROBATION)
            publish(folder, 3, "none")
            await running.until(3, Stage.REJECTED)
            await asyncio.sleep(0.1)
            assert (running.stages(2), await running.answering()) == (TRIAL[:3], 2)

    run(main)


def test_replacing_the_version_on_trial_starts_another_trial(folder: Path) -> None:
    async def main() -> None:
        async with following(folder, LONG_SHADOW) as running:
            publish(folder, 2)
            await running.until(2, Stage.SHADOW)
            publish(folder, 2, "wrong")
            await running.until(2, Stage.REJECTED)
            assert running.stages(2) == [*TRIAL[:2], Stage.ENDED, Stage.CHECKING, Stage.REJECTED]

    run(main)


@pytest.mark.parametrize("error", [OSError(116, "Stale file handle"), MemoryError()])
def test_a_version_that_cannot_be_read_for_a_moment_is_tried_again(
    folder: Path, error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loads = Mock(side_effect=[error, error, load])

    def flaky(version: Path, threads: int, key: Path | None) -> ServedVersion:
        return load(version, threads, key) if version.name == "1" else loads()(version, threads, key)

    async def main() -> None:
        async with following(folder) as running:
            publish(folder, 2)
            await running.until(2, Stage.RELEASED)
            assert running.stages(2) == TRIAL

    monkeypatch.setattr(served_version, "load", flaky)
    run(main)
    assert [each.message for each in caplog.records if each.levelname == "ERROR"] == ["version cannot be read now"]


def test_reference_images_that_cannot_be_read_for_a_moment_are_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = Mock(side_effect=[OSError(116, "Stale file handle"), read_reference])
    monkeypatch.setattr(trial, "SECONDS_UNTIL_READ_AGAIN", 0.01)
    monkeypatch.setattr(trial, "read_reference", lambda *args: reads()(*args))

    async def main() -> None:
        async with following(folder) as running:
            publish(folder, 2)
            await running.until(2, Stage.RELEASED)
            assert running.stages(2) == TRIAL

    run(main)


def test_removing_the_version_on_trial_ends_the_trial(folder: Path) -> None:
    async def main() -> None:
        async with following(folder, LONG_SHADOW) as running:
            publish(folder, 2)
            await running.until(2, Stage.SHADOW)
            remove(folder, 2)
            assert await running.until(2, Stage.ENDED) == "its folder was removed"

    run(main)


def test_a_trial_goes_on_without_the_old_versions_folder(folder: Path) -> None:
    async def main() -> None:
        async with following(folder) as running:
            publish(folder, 2)
            await running.until(2, Stage.CHECKING)
            remove(folder, 1)
            await running.until(2, Stage.RELEASED)
            assert running.stages(2) == TRIAL

    run(main)


def test_a_version_takes_over_if_the_trusted_one_is_withdrawn(folder: Path) -> None:
    async def main() -> None:
        async with following(folder, LONG_SHADOW) as running:
            publish(folder, 2)
            await running.until(2, Stage.SHADOW)
            History(folder).append(Event.WITHDRAWN, 1, "old")
            assert await running.until(2, Stage.RELEASED) == "version 1 was withdrawn"
            assert await running.until(2, Stage.ENDED) == "version 1, the trusted one, was withdrawn"

    run(main)


def test_another_version_under_the_same_number_needs_a_trial(folder: Path) -> None:
    async def main() -> None:
        async with following(folder) as running:
            publish(folder, 1, "also right")
            await running.until(1, Stage.RELEASED)
            assert running.stages(1) == TRIAL

    run(main)


def test_a_predictor_that_ends_during_probation_ends_the_trial(folder: Path) -> None:
    async def main() -> None:
        async with following(folder, LONG_PROBATION) as running:
            publish(folder, 2)
            await running.until(2, Stage.PROBATION)
            task = running.watch._trial_task
        assert task
        await asyncio.gather(task, return_exceptions=True)
        assert (task.cancelled(), await running.answering()) == (True, 1)

    run(main)


def test_an_instant_predictor_leaves_a_withdrawn_version(folder: Path) -> None:
    publish(folder, 2)

    async def main() -> None:
        async with following(folder, None) as running:
            assert await running.answering() == 2
            History(folder).append(Event.WITHDRAWN, 2, "blurred")
            assert await running.until(1, Stage.RELEASED) == "version 2 was withdrawn"
        async with following(folder, None) as restarted:
            assert await restarted.answering() == 1

    run(main)


def test_a_watch_starts_over_on_a_volume_that_was_emptied(folder: Path) -> None:
    async def main() -> None:
        publish(folder, 2)
        History(folder).append(Event.WITHDRAWN, 2, "blurred")
        async with following(folder) as running:
            shutil.rmtree(folder / ".history")
            await running.until(2, Stage.RELEASED)

    run(main)
