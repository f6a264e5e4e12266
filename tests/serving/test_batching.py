"""Batching of waiting requests, and admission control."""

import asyncio
import contextlib
import threading
from unittest.mock import Mock

import numpy as np
import pytest

from distml.protocol import limits
from distml.serving.admission import Admission, Overloaded
from distml.serving.batching import Batcher
from distml.serving.release.served_version import ServedVersion


@pytest.fixture(autouse=True)
def every_batch_in_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_IMAGES_ON_EVENT_LOOP", 0)


class Engine:
    """A fake engine that answers each image with its first pixel; batches wait until `go` is set."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.go = threading.Event()
        self.started = threading.Event()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.batches.append(len(images))
        self.started.set()
        assert self.go.wait(10)
        if images[0, 0, 0, 0] == 255:
            raise RuntimeError("broken")
        return images[:, 0, 0, :].astype(np.float32)


class Observer:
    """A stand-in for a trial; it keeps what the batcher tells it."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.errors: list[Exception] = []

    def observe(self, images: np.ndarray) -> None:
        self.batches.append(len(images))

    def fail(self, error: Exception) -> None:
        self.errors.append(error)


def images(*values: int) -> np.ndarray:
    return np.stack([np.full((28, 28, 1), value, np.uint8) for value in values])


async def ask_while_busy(engine: Engine, requests: list[np.ndarray]) -> list:
    """Keep the engine busy with one request, queue `requests` behind it, and return all answers."""
    batcher = Batcher(ServedVersion(1, {}, engine))
    first = asyncio.create_task(batcher.classify(images(0)))
    await asyncio.to_thread(engine.started.wait, 10)
    others = [asyncio.create_task(batcher.classify(request)) for request in requests]
    await asyncio.sleep(0.05)
    engine.go.set()
    return await asyncio.gather(first, *others, return_exceptions=True)


def test_waiting_requests_run_together_and_get_their_own_answers() -> None:
    engine = Engine()
    answers = asyncio.run(ask_while_busy(engine, [images(1), images(2, 3), images(4)]))
    assert engine.batches == [1, 4]
    assert [probabilities.ravel().tolist() for probabilities, _ in answers] == [[0], [1], [2, 3], [4]]


def test_a_batch_holds_no_more_images_than_the_limit() -> None:
    engine = Engine()
    asyncio.run(ask_while_busy(engine, [images(*[1] * 40)] * 3))
    assert engine.batches == [1, 40, 40, 40]


def test_a_request_over_the_limit_of_waiting_images_is_refused() -> None:
    engine = Engine()
    requests = [images(*[1] * 256)] * 5
    answers = asyncio.run(ask_while_busy(engine, requests))
    assert [isinstance(answer, Overloaded) for answer in answers] == [False] * 5 + [True]


def test_a_waiting_request_is_not_run_after_its_client_hung_up() -> None:
    async def hang_up(engine: Engine) -> None:
        batcher = Batcher(ServedVersion(1, {}, engine))
        tasks = [asyncio.create_task(batcher.classify(images(0)))]
        await asyncio.to_thread(engine.started.wait, 10)
        tasks += [asyncio.create_task(batcher.classify(images(1, 2))) for _ in range(2)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        engine.go.set()
        await asyncio.gather(*tasks, return_exceptions=True)

    engine = Engine()
    asyncio.run(hang_up(engine))
    assert engine.batches == [1, 2]


def test_a_failed_batch_does_not_stop_the_next_one() -> None:
    engine = Engine()
    answers = asyncio.run(ask_while_busy(engine, [images(255), images(*[1] * 64)]))
    assert [type(answer).__name__ for answer in answers] == ["tuple", "RuntimeError", "tuple"]


def test_the_event_loop_runs_small_batches_and_a_thread_larger_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_IMAGES_ON_EVENT_LOOP", 2)
    threads = []

    def engine(images: np.ndarray) -> np.ndarray:
        threads.append(threading.current_thread().name)
        return images[:, 0, 0, :].astype(np.float32)

    async def ask() -> list:
        batcher = Batcher(ServedVersion(1, {}, engine))
        return [(await batcher.classify(request))[0].ravel().tolist() for request in (images(1, 2), images(3, 4, 5))]

    assert asyncio.run(ask()) == [[1, 2], [3, 4, 5]]
    assert threads == [threading.current_thread().name, "engine"]


def test_answers_are_delivered_before_a_small_batch_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_IMAGES_ON_EVENT_LOOP", 1)
    events: list[str] = []
    engine = Engine()

    def classify(images: np.ndarray) -> np.ndarray:
        if len(images) == 1:
            events.append("small batch")
        return engine(images)

    async def ask_for_two(batcher: Batcher) -> None:
        await batcher.classify(images(1, 2))
        events.append("large answer")

    async def ask() -> None:
        batcher = Batcher(ServedVersion(1, {}, classify))
        large = asyncio.create_task(ask_for_two(batcher))
        await asyncio.to_thread(engine.started.wait, 10)
        small = asyncio.create_task(batcher.classify(images(3)))
        await asyncio.sleep(0)
        engine.go.set()
        await asyncio.gather(large, small)

    asyncio.run(ask())
    assert events == ["large answer", "small batch"]


def test_a_batch_that_cannot_be_put_together_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np, "concatenate", fail)
    engine = Engine()
    answers = asyncio.run(ask_while_busy(engine, [images(1), images(2), images(*[3] * 64)]))
    assert [type(answer).__name__ for answer in answers] == ["tuple", "MemoryError", "MemoryError", "tuple"]


@pytest.mark.parametrize("value", [255, 254])
def test_images_on_which_both_versions_fail_are_not_the_new_ones_fault(value: int) -> None:
    engine = Engine()

    def classify(images: np.ndarray) -> np.ndarray:
        return np.where(images[:, 0, 0, :] == 254, np.float32("nan"), engine(images))

    async def ask(observer: Observer) -> None:
        batcher = Batcher(ServedVersion(2, {}, classify))
        batcher.fallback, batcher.observer = ServedVersion(1, {}, classify), observer
        with pytest.raises(RuntimeError, match="broken") if value == 255 else contextlib.nullcontext():
            assert (await batcher.classify(images(value)))[1].number == 1

    engine.go.set()
    asyncio.run(ask(observer := Observer()))
    assert (observer.batches, observer.errors) == ([1], [])


def test_a_batch_that_cannot_be_put_together_is_not_a_versions_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "concatenate", Mock(side_effect=MemoryError))

    async def ask(observer: Observer) -> list:
        batcher = Batcher(ServedVersion(2, {}, engine))
        batcher.fallback, batcher.observer = ServedVersion(1, {}, engine), observer
        answers = [batcher.classify(images(1)), batcher.classify(images(2))]
        return await asyncio.gather(*answers, return_exceptions=True)

    engine = Engine()
    engine.go.set()
    answers = asyncio.run(ask(observer := Observer()))
    assert [type(answer) for answer in answers] == [MemoryError] * 2
    assert observer.errors == []


def test_work_of_a_cancelled_trial_is_not_run() -> None:
    done: list[str] = []

    async def cancel(engine: Engine) -> None:
        batcher = Batcher(ServedVersion(1, {}, engine))
        request = asyncio.create_task(batcher.classify(images(0)))
        await asyncio.to_thread(engine.started.wait, 10)
        work = asyncio.create_task(batcher.run_between_batches(lambda: done.append("cancelled")))
        await asyncio.sleep(0)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        engine.go.set()
        await request
        await batcher.run_between_batches(lambda: done.append("next"))

    asyncio.run(cancel(Engine()))
    assert done == ["next"]


def test_admission_counts_requests_and_bytes_and_frees_both() -> None:
    admission = Admission(max_requests=2, max_bytes=10)
    with admission.admit() as count_bytes:
        count_bytes(6)
        with admission.admit() as count_more:
            with pytest.raises(Overloaded):
                count_more(5)
            count_more(4)
            with pytest.raises(Overloaded), admission.admit():
                pass
    with admission.admit() as count_bytes:
        count_bytes(10)
