"""The watch's choice of the version that takes over, with a fake loader and no model."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from distml.model import manifest as model_manifest
from distml.serving.batching import Batcher
from distml.serving.monitoring import metrics
from distml.serving.release import served_version
from distml.serving.release.served_version import ServedVersion
from distml.serving.release.version_watch import VersionWatch
from distml.step.outcome import StepError
from support.version_folders import publishing, remove


def publish(folder: Path, number: int, label: str) -> None:
    with publishing(folder, number) as work:
        model_manifest.write(work, {"label": label})


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def load(folder: Path, threads: int, public_key: Path | None) -> ServedVersion:
    manifest = model_manifest.verified(folder)
    if manifest["label"] == "boom":
        raise StepError("boom")
    return ServedVersion(int(folder.name), manifest, lambda images: images)


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VersionWatch:
    monkeypatch.setattr(served_version, "load", load)
    publish(tmp_path, 1, "first")
    return VersionWatch(tmp_path, 1)


def first(watch: VersionWatch) -> ServedVersion:
    """Return the version with which the predictor starts, and fail if there is none."""
    version = watch.first()
    assert version is not None
    return version


def after(watch: VersionWatch, current: ServedVersion) -> ServedVersion | None:
    """Return the version that takes over from `current`; None if `current` should go on."""
    return watch._next(current, *watch._read())


def refused() -> float:
    return metrics.REFUSED._value.get()


def test_an_unchanged_version_is_not_loaded_again(watch: VersionWatch) -> None:
    assert after(watch, first(watch)) is None


def test_another_version_under_the_same_number_takes_over(watch: VersionWatch, tmp_path: Path) -> None:
    current = first(watch)
    publish(tmp_path, 1, "second")
    taken = after(watch, current)
    assert taken and taken.manifest["label"] == "second"


def test_a_damaged_current_version_is_reported_once_and_kept(watch: VersionWatch, tmp_path: Path) -> None:
    publish(tmp_path, 2, "second")
    second, before = first(watch), refused()
    (tmp_path / "2" / model_manifest.MANIFEST).write_text("[]")
    assert [after(watch, second) for _ in range(3)] == [None] * 3
    assert refused() == before + 1


def test_a_version_repaired_while_the_clock_is_behind_is_tried_again(watch: VersionWatch, tmp_path: Path) -> None:
    current = first(watch)
    publish(tmp_path, 2, "second")
    record = tmp_path / "2" / model_manifest.MANIFEST
    content = record.read_text()
    record.write_text("[]")
    os.utime(record, (1, 1))
    assert after(watch, current) is None
    record.write_text(content)
    os.utime(record, (2, 2))
    taken = after(watch, current)
    assert taken and taken.number == 2


def test_the_watch_refuses_a_version_that_fails_to_load_and_goes_on(watch: VersionWatch, tmp_path: Path) -> None:
    taken: list[ServedVersion] = []
    before = refused()

    async def follow() -> None:
        batcher = Batcher(first(watch))

        def switch_to(version: ServedVersion) -> None:
            taken.append(version)
            batcher.version = version

        watching = asyncio.create_task(watch.follow(batcher, switch_to, 0.01))
        publish(tmp_path, 2, "boom")
        await until(lambda: refused() == before + 1)
        publish(tmp_path, 3, "third")
        await until(lambda: len(taken) == 1)
        remove(tmp_path, 3)
        await until(lambda: len(taken) == 2)
        watching.cancel()

    asyncio.run(follow())
    assert [version.number for version in taken] == [3, 1]
    assert refused() == before + 1


def test_the_watch_refuses_a_version_that_fails_the_switch_and_goes_on(watch: VersionWatch, tmp_path: Path) -> None:
    taken: list[int] = []
    before = refused()

    async def follow() -> None:
        batcher = Batcher(current := first(watch))

        def switch_to(version: ServedVersion) -> None:
            if version.number == 2:
                raise KeyError("model")
            taken.append(version.number)
            batcher.version = version

        watching = asyncio.create_task(watch.follow(batcher, switch_to, 0.01))
        publish(tmp_path, 2, "second")
        await until(lambda: refused() == before + 1)
        assert after(watch, current) is None
        publish(tmp_path, 3, "third")
        await until(lambda: taken == [3])
        watching.cancel()

    asyncio.run(follow())
    assert taken == [3] and refused() == before + 1
