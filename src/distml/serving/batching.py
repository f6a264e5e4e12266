"""Micro-batching: requests that wait together run together.

No timer delays a request: it waits only for the batches before it. A small batch runs on the event loop, a larger one
in the engine's thread: to wake that thread and to share the interpreter's lock with it takes about as long as one
image.
"""

import asyncio
import contextlib
import threading
from collections import deque
from queue import SimpleQueue

import numpy as np

from distml.protocol import limits
from distml.serving import metrics
from distml.serving.admission import Overloaded
from distml.serving.release.served_version import ServedVersion

Answer = tuple[np.ndarray, ServedVersion]
Batch = list[tuple[np.ndarray, asyncio.Future[Answer]]]


class Batcher:
    """A queue of requests, classified in batches. A newly set `version` is used from the next batch on."""

    def __init__(self, version: ServedVersion):
        self.version = version
        # No executor: its futures and callbacks cost a dozen microseconds per request.
        self._batches: SimpleQueue = SimpleQueue()
        threading.Thread(target=self._run_batches, name="engine", daemon=True).start()
        self._waiting: deque[tuple[np.ndarray, asyncio.Future[Answer]]] = deque()
        self._images_waiting = 0
        self._running = False

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
        if not self._running:
            self._running = True
            # Not at once: requests that the loop has already read from other connections join this batch.
            loop.call_soon(self._start_batch)
        return await answer

    def _start_batch(self) -> None:
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
            return
        if images <= limits.MAX_IMAGES_ON_EVENT_LOOP:
            self._finish(*_run(self.version, batch))
        else:
            self._batches.put((asyncio.get_running_loop(), self.version, batch))

    def _next_request(self) -> tuple[np.ndarray, asyncio.Future[Answer]]:
        images, answer = self._waiting.popleft()
        self._images_waiting -= len(images)
        return images, answer

    def _run_batches(self) -> None:
        """Run batches one after another, in the engine's thread."""
        while True:
            loop, version, batch = self._batches.get()
            result = _run(version, batch)
            with contextlib.suppress(RuntimeError):  # the event loop is closed
                loop.call_soon_threadsafe(self._finish, *result)

    def _finish(
        self, version: ServedVersion, batch: Batch, batch_images: np.ndarray, outcome: np.ndarray | Exception
    ) -> None:
        self._running = bool(self._waiting)
        # The event loop runs a small batch itself, but delivers the answers of this one first.
        next_is_small = self._images_waiting <= limits.MAX_IMAGES_ON_EVENT_LOOP
        if self._running and not next_is_small:
            self._start_batch()
        start = 0
        for images, answer in batch:
            if not answer.done():
                if isinstance(outcome, Exception):
                    answer.set_exception(outcome)
                else:
                    answer.set_result((outcome[start : start + len(images)], version))
            start += len(images)
        if self._running and next_is_small:
            asyncio.get_running_loop().call_soon(self._start_batch)
        # Counted here: in the engine's thread, counting would keep the event loop waiting for the interpreter lock.
        metrics.observe_batch(batch_images)


def _run(version: ServedVersion, batch: Batch) -> tuple[ServedVersion, Batch, np.ndarray, np.ndarray | Exception]:
    """Classify a batch; return its version, itself, all its images, and their probabilities or the engine's error."""
    images = batch[0][0]
    try:
        if len(batch) > 1:
            images = np.concatenate([images for images, _ in batch])
        return version, batch, images, version.classify(images)
    except Exception as error:
        return version, batch, images, error
