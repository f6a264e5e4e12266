"""Micro-batching: requests that wait together run together.

No timer delays a request: it waits only for the batches before it. A small batch runs on the event loop, a larger one
in the engine's thread: to wake that thread and to share the interpreter's lock with it takes about as long as one
image.

The trial of a newer version (see `release.trial`) uses the same engines. Its work runs in the engine's thread between
batches, so that no engine is ever used by two threads.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol

import numpy as np

from distml.protocol import limits
from distml.serving.admission import Overloaded
from distml.serving.monitoring import event_log, metrics
from distml.serving.release.served_version import ServedVersion

Answer = tuple[np.ndarray, ServedVersion]
Batch = list[tuple[np.ndarray, asyncio.Future[Answer]]]
# Under load, work of a trial waits at most this long for a moment without requests.
SECONDS_UNTIL_TRIAL_WORK = 0.02


class Observer(Protocol):
    """A trial, which sees the batches of requests."""

    def observe(self, images: np.ndarray) -> None:
        """See the images of a finished batch, uint8 [n, 28, 28, 1]."""

    def fail(self, error: Exception) -> None:
        """See the error of the answering version, whose batch the fallback has answered."""


class Result(NamedTuple):
    """A batch that has run.

    Attributes:
        version: the version that computed the probabilities.
        probabilities: of all the batch's images, or the error of the version, and of the fallback if there is one.
        error: the error of the version whose batch the fallback has answered.
    """

    version: ServedVersion
    batch: Batch
    images: np.ndarray
    probabilities: np.ndarray | Exception
    error: Exception | None = None


class Batcher:
    """A queue of requests, classified in batches. A newly set `version` is used from the next batch on.

    Attributes:
        version: the version that answers.
        fallback: the version that answers a batch on which `version` fails, and takes over then; None without a trial.
        observer: the trial in progress; None without one.
    """

    def __init__(self, version: ServedVersion):
        self.version = version
        self.fallback: ServedVersion | None = None
        self.observer: Observer | None = None
        # No executor: its futures and callbacks cost a dozen microseconds per request.
        self._tasks: SimpleQueue = SimpleQueue()
        threading.Thread(target=self._run_tasks, name="engine", daemon=True).start()
        self._waiting: deque[tuple[np.ndarray, asyncio.Future[Answer]]] = deque()
        self._images_waiting = 0
        self._running = False
        self._trial_work: tuple[float, Callable[[], Any], asyncio.Future[Any]] | None = None

    async def classify(self, images: np.ndarray) -> Answer:
        """Classify images, uint8 [n, 28, 28, 1].

        Returns:
            Probabilities, float32 [n, 10], and the version that computed them.

        Raises:
            Overloaded: too many images are waiting.
        """
        if self._images_waiting + len(images) > limits.MAX_IMAGES_WAITING:
            raise Overloaded
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((images, answer))
        self._images_waiting += len(images)
        self._start_soon(loop)
        return await answer

    async def run_between_batches(self, work: Callable[[], Any]) -> Any:
        """Run `work`, which may use every version's engine, in the engine's thread, and return its result.

        It runs when no request waits, or after `SECONDS_UNTIL_TRIAL_WORK`. Only one caller at a time may use this.
        """
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Any] = loop.create_future()
        self._trial_work = loop.time() + SECONDS_UNTIL_TRIAL_WORK, work, result
        self._start_soon(loop)
        return await result

    def _start_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._running:
            self._running = True
            # Not at once: requests that the loop has already read from other connections join this batch.
            loop.call_soon(self._start_next)

    def _start_next(self) -> None:
        """Start the next batch, or work of a trial if no request waits or the work has waited too long."""
        if self._trial_work and (not self._waiting or asyncio.get_running_loop().time() >= self._trial_work[0]):
            _, work, result = self._trial_work
            self._trial_work = None
            if not result.done():  # unless the trial was cancelled
                self._put(lambda: _attempt(work), lambda outcome: self._finish_trial_work(result, outcome))
                return
        batch: Batch = []
        images = 0
        while self._waiting and (not batch or images + len(self._waiting[0][0]) <= limits.MAX_IMAGES_OF_BATCH):
            request = self._next_request()
            # When a client hangs up, the future of its request is cancelled.
            if not request[1].done():
                batch.append(request)
                images += len(request[0])
        if not batch:
            self._running = False
            if self._trial_work:
                self._start_soon(asyncio.get_running_loop())
        elif images <= limits.MAX_IMAGES_ON_EVENT_LOOP:
            self._finish(_run(self.version, self.fallback, batch))
        else:
            version, fallback = self.version, self.fallback
            self._put(lambda: _run(version, fallback, batch), self._finish)

    def _next_request(self) -> tuple[np.ndarray, asyncio.Future[Answer]]:
        images, answer = self._waiting.popleft()
        self._images_waiting -= len(images)
        return images, answer

    def _put(self, run: Callable[[], Any], finish: Callable[[Any], None]) -> None:
        """Call `run` in the engine's thread, then `finish` with its result on the event loop."""
        self._tasks.put((asyncio.get_running_loop(), run, finish))

    def _run_tasks(self) -> None:
        """Run tasks one after another, in the engine's thread."""
        while True:
            loop, run, finish = self._tasks.get()
            result = run()
            with contextlib.suppress(RuntimeError):  # the event loop is closed
                loop.call_soon_threadsafe(finish, result)
            # While this thread waits, its variables would keep the images, and the old version after a trial.
            del loop, run, finish, result

    def _go_on(self) -> None:
        self._running = bool(self._waiting or self._trial_work)
        if self._running:
            asyncio.get_running_loop().call_soon(self._start_next)

    def _finish_trial_work(self, result: asyncio.Future[Any], outcome: Any) -> None:
        self._go_on()
        if result.done():  # the trial was cancelled
            return
        if isinstance(outcome, Exception):
            result.set_exception(outcome)
        else:
            result.set_result(outcome)

    def _finish(self, result: Result) -> None:
        if result.error is not None and self.observer is not None:
            # Before the next batch, which the fallback shall answer.
            self._tell(self.observer, self.observer.fail, result.error)
        # The event loop runs a small batch itself, but delivers the answers of this one first.
        next_is_large = self._images_waiting > limits.MAX_IMAGES_ON_EVENT_LOOP
        if next_is_large:
            self._start_next()
        start = 0
        for images, answer in result.batch:
            if not answer.done():
                if isinstance(result.probabilities, Exception):
                    answer.set_exception(result.probabilities)
                else:
                    answer.set_result((result.probabilities[start : start + len(images)], result.version))
            start += len(images)
        if not next_is_large:
            self._go_on()
        if self.observer is not None:
            self._tell(self.observer, self.observer.observe, result.images)
        # Counted here: in the engine's thread, counting would keep the event loop waiting for the interpreter lock.
        metrics.observe_batch(result.version, result.images, result.probabilities)

    def _tell(self, observer: Observer, tell: Callable[[Any], None], news: Any) -> None:
        """Tell a trial about a batch; its own error ends the trial, but no request may wait for an answer forever."""
        try:
            tell(news)
        except Exception as error:
            event_log.failure("a trial cannot follow the requests")
            with contextlib.suppress(Exception):
                observer.fail(error)


def _run(version: ServedVersion, fallback: ServedVersion | None, batch: Batch) -> Result:
    """Classify a batch; if `version` fails and there is a fallback, let the fallback answer."""
    images = batch[0][0]
    try:
        if len(batch) > 1:
            images = np.concatenate([images for images, _ in batch])
    except MemoryError as too_large:
        return Result(version, batch, images, too_large)
    answer = _attempt(lambda: version.classify(images))
    if fallback is None or _is_usable(answer):
        return Result(version, batch, images, answer)
    error = answer if isinstance(answer, Exception) else ValueError("a probability is not a number")
    answer = _attempt(lambda: fallback.classify(images))
    # If both fail, the images are at fault, not the version.
    return Result(fallback, batch, images, answer, error if _is_usable(answer) else None)


def _is_usable(answer: np.ndarray | Exception) -> bool:
    return not isinstance(answer, Exception) and bool(np.isfinite(answer).all())


def _attempt(work: Callable[[], Any]) -> Any:
    """Return the result of `work`, or its exception."""
    try:
        return work()
    except Exception as error:
        return error
