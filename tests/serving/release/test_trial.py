"""The trial of a newer version, with fake engines, a real batcher and real reference images."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distml.protocol.contract import Stage
from distml.publishing.versions import reference_images
from distml.publishing.versions.reference_images import ReferenceImages
from distml.serving.batching import Batcher
from distml.serving.release.comparison import Bounds, Rejected
from distml.serving.release.releases import Releases
from distml.serving.release.served_version import ServedVersion
from distml.serving.release.trial import Trial

BOUNDS = Bounds(max_accuracy_loss=0.02, max_recall_loss=0.15, max_slowdown=2, shadow_seconds=0.2, probation_seconds=0.2)
NAMES = [str(label) for label in range(10)]
LABELS = np.arange(1000) % 10
# The first pixel is the label; the second marks an image that a broken version cannot classify.
IMAGES = np.zeros((1000, 28, 28, 1), np.uint8)
IMAGES[:, 0, 0, 0] = LABELS
POISON = IMAGES[:1].copy()
POISON[:, 0, 1] = 1


def right(images: np.ndarray) -> np.ndarray:
    """Classify an image by its first pixel, with certainty."""
    return np.eye(10, dtype=np.float32)[images[:, 0, 0, 0]]


def wrong_for_class_3(images: np.ndarray) -> np.ndarray:
    return np.eye(10, dtype=np.float32)[np.where(images[:, 0, 0, 0] == 3, 5, images[:, 0, 0, 0])]


def broken_by_poison(images: np.ndarray) -> np.ndarray:
    if images[:, 0, 1].any():
        raise RuntimeError("index out of bounds\nin node 7")
    return right(images)


def nan_for_poison(images: np.ndarray) -> np.ndarray:
    return np.where(images[:, 0, 1].any(axis=1, keepdims=True), np.float32("nan"), right(images))


def busy(seconds: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return an engine that computes for `seconds`."""

    def classify(images: np.ndarray) -> np.ndarray:
        until = time.thread_time() + seconds
        while time.thread_time() < until:
            pass
        return right(images)

    return classify


def version(number: int, engine: Callable[[np.ndarray], np.ndarray], names: list[str] = NAMES) -> ServedVersion:
    return ServedVersion(number, {"class_names": names, "digest": f"digest {number}", "model": "plain"}, engine)


TRUSTED = version(1, right)


class Setting:
    """A batcher with version 1, and the trial of version 2."""

    def __init__(self, folder: Path, candidate: ServedVersion, trusted: ServedVersion, bounds: Bounds) -> None:
        (folder / "assets.extra").mkdir()
        reference_images.write(folder, ReferenceImages(IMAGES, LABELS, candidate.classify(IMAGES)))
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


@pytest.fixture
def run(tmp_path: Path) -> Callable:
    """Return a function that runs a trial while `requests` are sent; it returns the setting and the rejection."""

    def run_trial(
        engine: Callable[[np.ndarray], np.ndarray],
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
    bounds = Bounds(0.5, 0.15, 2, 0.2, 0.2)
    _, rejection = run(wrong_for_class_3, bounds=bounds)
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
    setting, rejection = run(busy(0.003), trusted=version(1, busy(0.001)))
    assert "times as long per image as version 1's; at most 2 times is allowed" in rejection
    assert setting.stages == [Stage.CHECKING]


@pytest.mark.parametrize("engine", [broken_by_poison, nan_for_poison])
def test_an_error_on_a_real_batch_rejects_a_version_in_shadow(run: Callable, engine: Callable) -> None:
    async def poison(setting: Setting) -> None:
        while True:
            assert await setting.ask(POISON) == 1
            await asyncio.sleep(0.002)

    setting, rejection = run(engine, poison)
    assert setting.stages == [Stage.CHECKING, Stage.SHADOW]
    expected = {
        broken_by_poison: "it fails on images that version 1 classifies: index out of bounds in node 7",
        nan_for_poison: "a probability that it answers is not a number",
    }
    assert rejection == expected[engine]


@pytest.mark.parametrize("engine", [broken_by_poison, nan_for_poison])
@pytest.mark.parametrize("images", [1, 20])
def test_on_probation_the_old_version_answers_a_failed_batch(run: Callable, engine: Callable, images: int) -> None:
    answering = []

    async def poison(setting: Setting) -> None:
        while setting.batcher.version.number == 1:
            await asyncio.sleep(0.001)
        for image in (IMAGES[:1], POISON, IMAGES[:1]):
            probabilities, version = await setting.batcher.classify(np.repeat(image, images, axis=0))
            answering.append(version.number)
            assert probabilities.argmax(axis=1).tolist() == [0] * images

    setting, rejection = run(engine, poison)
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


@pytest.mark.parametrize("stage", [Stage.CHECKING, Stage.SHADOW, Stage.PROBATION])
def test_after_a_cancelled_trial_the_trusted_version_answers(tmp_path: Path, stage: Stage) -> None:
    async def main() -> tuple[int, int]:
        setting = Setting(tmp_path, version(2, right), version(1, right), BOUNDS)
        task = asyncio.create_task(setting.trial.run())
        while setting.stages[-1:] != [stage]:
            await asyncio.sleep(0.001)
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
