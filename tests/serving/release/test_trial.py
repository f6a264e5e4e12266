"""The trial of a newer version, with fake engines, a real batcher and real reference images."""

import asyncio
import gc
import time
import weakref
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from distml.protocol.contract import Stage
from distml.serving.batching import Batcher
from distml.serving.monitoring import metrics
from distml.serving.release.comparison import IMAGES_AT_A_TIME, Bounds, Rejected
from distml.serving.release.releases import Releases
from distml.serving.release.served_version import ServedVersion
from distml.serving.release.trial import Trial
from support.fake_versions import (
    IMAGES,
    NAMES,
    POISON,
    Engine,
    broken_by_poison,
    busy,
    nan_for_poison,
    right,
    version,
    write_reference,
    wrong_for_class_3,
)

# The fake engines take microseconds, so the ratio of their times means nothing. A test of the times has its own bounds.
BOUNDS = Bounds(0.02, 0.15, max_slowdown=1000, shadow_seconds=0.2, probation_seconds=0.2)
# For trials that something ends before their time.
LONG_SHADOW, LONG_PROBATION = replace(BOUNDS, shadow_seconds=60), replace(BOUNDS, probation_seconds=60)
TRUSTED = version(1, right)


class Setting:
    """A batcher with version 1, and the trial of version 2."""

    def __init__(self, folder: Path, candidate: ServedVersion, trusted: ServedVersion, bounds: Bounds) -> None:
        candidate.manifest["files"] = write_reference(folder, candidate.classify)
        self.batcher = Batcher(trusted)
        self.releases = Releases()
        self.stages: list[Stage] = []
        enter = self.releases.enter

        def record(version: int, digest: str, stage: Stage, reason: str = "") -> None:
            self.stages.append(stage)
            enter(version, digest, stage, reason)

        self.releases.enter = record  # type: ignore[method-assign]
        self.trial = Trial(candidate, folder, self.batcher, self.switch_to, bounds, self.releases)

    def switch_to(self, version: ServedVersion) -> None:
        self.batcher.version = version

    async def ask(self, images: np.ndarray = IMAGES[:1]) -> int:
        """Return the number of the version that answers."""
        return (await self.batcher.classify(images))[1].number

    async def until(self, stage: Stage) -> None:
        while stage not in self.stages:
            await asyncio.sleep(0.001)


@pytest.fixture
def run(tmp_path: Path) -> Callable:
    """Return a function that runs a trial while `requests` are sent; it returns the setting and the rejection."""

    def run_trial(
        engine: Engine,
        requests: Callable[[Setting], Coroutine[Any, Any, None]] | None = None,
        trusted: ServedVersion = TRUSTED,
        names: list[str] = NAMES,
        bounds: Bounds = BOUNDS,
    ) -> tuple[Setting, str]:
        async def main() -> tuple[Setting, str]:
            setting = Setting(tmp_path, version(2, engine, names), trusted, bounds)
            sending = asyncio.create_task(requests(setting)) if requests else None
            try:
                await setting.trial.run()
            except Rejected as error:
                return setting, str(error)
            finally:
                if sending:
                    sending.cancel()
                    await asyncio.gather(sending, return_exceptions=True)
            return setting, ""

        return asyncio.run(main())

    return run_trial


async def steady(setting: Setting) -> None:
    while True:
        await setting.ask()
        await asyncio.sleep(0.002)


def test_a_right_version_is_released_after_each_stage(run: Callable) -> None:
    setting, rejection = run(right, steady)
    assert rejection == ""
    assert setting.stages == [Stage.CHECKING, Stage.SHADOW, Stage.PROBATION, Stage.RELEASED]
    assert setting.batcher.version.number == 2
    assert setting.batcher.fallback is setting.batcher.observer is None
    (release,) = setting.releases
    assert release[:3] == (2, "digest 2", Stage.RELEASED)
    assert "batches compared, " in release.reason and "times version 1's engine time" in release.reason


def test_without_requests_a_trial_goes_on_by_time(run: Callable) -> None:
    setting, rejection = run(right)
    assert (rejection, setting.stages[-1]) == ("", Stage.RELEASED)


def test_a_version_that_is_wrong_for_one_class_never_answers(run: Callable) -> None:
    answering = set()

    async def record(setting: Setting) -> None:
        while True:
            answering.add(await setting.ask())

    setting, rejection = run(wrong_for_class_3, record)
    assert rejection == (
        "its accuracy on 1,000 reference images is 0.900, 0.100 below version 1's 1.000; at most 0.02 may be lost"
    )
    assert (setting.stages, answering) == ([Stage.CHECKING], {1})


def test_the_recall_of_each_class_has_its_own_bound(run: Callable) -> None:
    _, rejection = run(wrong_for_class_3, bounds=replace(BOUNDS, max_accuracy_loss=0.5))
    assert rejection == (
        "its recall of 3 on 100 reference images is 0.000, 1.000 below version 1's 1.000; at most 0.15 may be lost"
    )


def test_a_version_that_answers_otherwise_than_at_publication_is_rejected(run: Callable) -> None:
    calls = []

    def changing(images: np.ndarray) -> np.ndarray:
        calls.append(len(images))
        return right(images) if len(calls) == 1 else wrong_for_class_3(images)

    _, rejection = run(changing)
    assert rejection == "its answers to its reference images differ from those at publication by 1, more than 0.001"


def test_a_version_with_other_classes_cannot_be_compared(run: Callable) -> None:
    _, rejection = run(right, names=NAMES[::-1])
    assert rejection == "its classes differ from those of version 1, so their answers cannot be compared"


def test_a_slow_version_is_rejected_before_it_answers(run: Callable) -> None:
    bounds = replace(BOUNDS, max_slowdown=2)
    setting, rejection = run(busy(0.003), trusted=version(1, busy(0.001)), bounds=bounds)
    assert "times as long per image as version 1's; at most 2 times is allowed" in rejection
    assert setting.stages == [Stage.CHECKING]


def test_a_very_slow_version_is_rejected_after_three_comparisons(run: Callable) -> None:
    calls = []

    def very_slow(images: np.ndarray) -> np.ndarray:
        if len(images) == IMAGES_AT_A_TIME:
            calls.append(len(images))
        return busy(0.01)(images)

    _, rejection = run(very_slow, trusted=version(1, busy(0.001)), bounds=replace(BOUNDS, max_slowdown=2))
    assert "times as long per image as version 1's; at most 2 times is allowed" in rejection
    assert len(calls) == 3


@pytest.mark.parametrize("engine", [broken_by_poison, nan_for_poison])
def test_an_error_on_a_real_batch_rejects_a_version_in_shadow(run: Callable, engine: Engine) -> None:
    async def poison(setting: Setting) -> None:
        while True:
            assert await setting.ask(POISON) == 1
            await asyncio.sleep(0.002)

    setting, rejection = run(engine, poison, bounds=LONG_SHADOW)
    assert setting.stages == [Stage.CHECKING, Stage.SHADOW]
    error = "index out of bounds in node 7" if engine is broken_by_poison else "a probability is not a number"
    assert rejection == f"it fails on images that version 1 classifies: {error}"


@pytest.mark.parametrize("engine", [broken_by_poison, nan_for_poison])
@pytest.mark.parametrize("images", [1, 20])
def test_on_probation_the_old_version_answers_a_failed_batch(run: Callable, engine: Engine, images: int) -> None:
    answering = []

    async def poison(setting: Setting) -> None:
        await setting.until(Stage.PROBATION)
        for image in (IMAGES[:1], POISON, IMAGES[:1]):
            probabilities, version = await setting.batcher.classify(np.repeat(image, images, axis=0))
            answering.append(version.number)
            assert probabilities.argmax(axis=1).tolist() == [0] * images

    setting, rejection = run(engine, poison, bounds=LONG_PROBATION)
    assert answering == [2, 1, 1]
    assert rejection.startswith("it failed on a batch during probation: ")
    assert setting.batcher.version.number == 1


def test_images_on_which_both_versions_fail_reject_nothing(run: Callable) -> None:
    async def poison(setting: Setting) -> None:
        while True:
            with pytest.raises(RuntimeError, match="index out of bounds"):
                await setting.ask(POISON)
            await asyncio.sleep(0.002)

    setting, rejection = run(broken_by_poison, poison, trusted=version(1, broken_by_poison))
    assert (rejection, setting.stages[-1]) == ("", Stage.RELEASED)


@pytest.mark.parametrize("on_probation", [IMAGES[:4], POISON])
def test_images_during_a_trial_count_once_for_the_version_that_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_probation: np.ndarray
) -> None:
    monkeypatch.setattr(metrics, "IMAGES", metrics.Images())
    windows = [metrics.IMAGES.begin(TRUSTED)]
    answered: Counter[int] = Counter()

    async def main() -> None:
        setting = Setting(tmp_path, version(2, broken_by_poison), TRUSTED, BOUNDS)

        def switch_to(version: ServedVersion) -> None:
            setting.switch_to(version)
            windows.append(metrics.IMAGES.begin(version))

        setting.trial._switch_to = switch_to
        trial = asyncio.create_task(setting.trial.run())
        while not trial.done():
            images = on_probation if Stage.PROBATION in setting.stages else IMAGES[:4]
            answered[await setting.ask(images)] += len(images)
            await asyncio.sleep(0.002)
        await asyncio.gather(trial, return_exceptions=True)

    asyncio.run(main())
    counted: Counter[int] = Counter()
    for window in windows:
        counted[window.version.number] += int(window.intensities()[0].sum())
    assert counted == answered
    assert [window.version.number for window in windows] == ([1, 2, 1] if on_probation is POISON else [1, 2])


@pytest.mark.parametrize("stage", [Stage.CHECKING, Stage.SHADOW, Stage.PROBATION])
def test_after_a_cancelled_trial_the_trusted_version_answers(tmp_path: Path, stage: Stage) -> None:
    async def main() -> tuple[int, int]:
        bounds = LONG_PROBATION if stage is Stage.PROBATION else LONG_SHADOW
        setting = Setting(tmp_path, version(2, right), TRUSTED, bounds)
        task = asyncio.create_task(setting.trial.run())
        await setting.until(stage)
        before = setting.batcher.version.number
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert setting.batcher.fallback is setting.batcher.observer is None
        return before, await setting.ask()

    assert asyncio.run(main()) == (2 if stage is Stage.PROBATION else 1, 1)


def test_requests_that_never_pause_do_not_hold_a_trial_up(run: Callable) -> None:
    async def flood(setting: Setting) -> None:
        async def one_after_another() -> None:
            while True:
                await setting.ask(IMAGES[:20])

        await asyncio.gather(*(one_after_another() for _ in range(5)))

    setting, rejection = run(right, flood)
    assert (rejection, setting.stages[-1]) == ("", Stage.RELEASED)


def test_a_version_may_replace_one_that_fails_on_its_reference_images(run: Callable) -> None:
    def broken(images: np.ndarray) -> np.ndarray:
        raise RuntimeError("broken")

    setting, rejection = run(right, trusted=version(1, broken))
    assert (rejection, setting.stages[-1]) == ("", Stage.RELEASED)


def test_a_version_that_becomes_slow_on_probation_is_taken_back(run: Callable) -> None:
    slow = [0.0]

    def classify(images: np.ndarray) -> np.ndarray:
        return busy(slow[0])(images)

    async def slow_down(setting: Setting) -> None:
        await setting.until(Stage.PROBATION)
        slow[0] = 0.003
        await steady(setting)

    bounds = replace(LONG_PROBATION, max_slowdown=20)
    setting, rejection = run(classify, slow_down, trusted=version(1, busy(0.0001)), bounds=bounds)
    assert "times as long per image as version 1's; at most 20 times is allowed" in rejection
    assert (setting.stages[-1], setting.batcher.version.number) == (Stage.PROBATION, 1)


@pytest.mark.parametrize("images", [1, 20])
def test_an_error_of_the_switch_back_keeps_no_request_waiting(
    tmp_path: Path, images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def switch_to(setting: Setting, version: ServedVersion) -> None:
        if version.number == 1:
            raise OSError("no space left")
        setting.batcher.version = version

    monkeypatch.setattr(Setting, "switch_to", switch_to)

    async def main() -> list[int]:
        setting = Setting(tmp_path, version(2, broken_by_poison), TRUSTED, LONG_PROBATION)
        trial = asyncio.create_task(setting.trial.run())
        await setting.until(Stage.PROBATION)
        answering = [await setting.ask(np.repeat(image, images, axis=0)) for image in (POISON, IMAGES[:1])]
        with pytest.raises(Rejected, match="it failed on a batch during probation: index out of bounds in node 7"):
            await trial
        return answering

    assert asyncio.run(main()) == [1, 1]


def test_a_trial_that_cannot_follow_the_requests_is_rejected(run: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trial, "observe", Mock(side_effect=MemoryError("no memory")))
    setting, rejection = run(right, steady, bounds=LONG_SHADOW)
    assert "no memory" in rejection
    assert (setting.stages, setting.batcher.version.number) == ([Stage.CHECKING, Stage.SHADOW], 1)


def test_a_trial_compares_two_versions_of_one_number(run: Callable) -> None:
    _, rejection = run(wrong_for_class_3, trusted=version(2, right))
    assert rejection.startswith("its accuracy on 1,000 reference images is 0.900, 0.100 below version 2's 1.000;")


def test_after_a_trial_the_old_version_is_freed(tmp_path: Path) -> None:
    async def main() -> tuple[object, int]:
        setting = Setting(tmp_path, version(2, right), version(1, right), BOUNDS)
        old = weakref.ref(setting.trial.trusted)
        await asyncio.create_task(setting.trial.run())
        del setting.trial
        gc.collect()
        return old(), await setting.ask()

    assert asyncio.run(main()) == (None, 2)


def test_no_two_batches_run_at_once(run: Callable) -> None:
    running: list[int] = []
    most = [0]

    def tracked(engine: Engine) -> Engine:
        def classify(images: np.ndarray) -> np.ndarray:
            running.append(len(images))
            most[0] = max(most[0], len(running))
            time.sleep(0.0005)  # other threads may run
            running.pop()
            return engine(images)

        return classify

    async def requests(setting: Setting) -> None:
        async def ask_for(images: np.ndarray) -> None:
            while True:
                await setting.ask(images)

        async def poison() -> None:
            await setting.until(Stage.PROBATION)
            await setting.ask(np.repeat(POISON, 20, axis=0))

        await asyncio.gather(*(ask_for(IMAGES[:count]) for count in (1, 2, 20, 40)), poison())

    trusted = version(1, tracked(right))
    _, rejection = run(tracked(broken_by_poison), requests, trusted=trusted, bounds=LONG_PROBATION)
    assert rejection.startswith("it failed on a batch during probation: index out of bounds")
    assert most == [1]
