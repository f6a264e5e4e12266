"""Micro-batching: requests that wait together run together, in one thread beside the event loop.

A request waits for the batches before it, and for no timer.
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


class Batcher:
    """Asks the current version about images; a new one can be put in `version` at any time, between two batches."""

    def __init__(self, version: ServedVersion):
        self.version = version
        # An executor's own futures and callbacks cost a dozen microseconds per request.
        self._batches: SimpleQueue = SimpleQueue()
        threading.Thread(target=self._run_batches, name="engine", daemon=True).start()
        self._waiting: deque[tuple[np.ndarray, asyncio.Future[Answer]]] = deque()
        self._images_waiting = 0
        self._running = False

    async def classify(self, images: np.ndarray) -> Answer:
        """Classify images, uint8 [n, 28, 28, 1].

        Returns:
            probabilities, float32 [n, 10], and the version that they are of.

        Raises:
            Overloaded: too many wait already.
        """
        if self._images_waiting + len(images) > limits.MAX_IMAGES_WAITING:
            raise Overloaded
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting.append((images, answer))
        self._images_waiting += len(images)
        if not self._running:
            self._running = True
            # Not at once: what the loop has read from other connections by now comes along.
            loop.call_soon(self._start)
        return await answer

    def _start(self) -> None:
        batch: list[tuple[np.ndarray, asyncio.Future[Answer]]] = []
        images = 0
        while self._waiting and (not batch or images + len(self._waiting[0][0]) <= limits.MAX_IMAGES_OF_BATCH):
            request = self._next_request()
            # A client that hung up has cancelled its own.
            if not request[1].done():
                batch.append(request)
                images += len(request[0])
        if not batch:
            self._running = False
            return
        self._batches.put((asyncio.get_running_loop(), self.version, batch))

    def _next_request(self) -> tuple[np.ndarray, asyncio.Future[Answer]]:
        images, answer = self._waiting.popleft()
        self._images_waiting -= len(images)
        return images, answer

    def _run_batches(self) -> None:
        """Run batches, in the engine's thread."""
        while True:
            loop, version, batch = self._batches.get()
            images = batch[0][0] if len(batch) == 1 else np.concatenate([images for images, _ in batch])
            try:
                outcome = version.classify(images)
            except Exception as error:
                outcome = error
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(self._finish, version, images, batch, outcome)

    def _finish(
        self, version: ServedVersion, batch_images: np.ndarray, batch: list, outcome: np.ndarray | Exception
    ) -> None:
        if self._waiting:
            self._start()
        else:
            self._running = False
        at = 0
        for images, answer in batch:
            if not answer.done():
                if isinstance(outcome, Exception):
                    answer.set_exception(outcome)
                else:
                    answer.set_result((outcome[at : at + len(images)], version))
            at += len(images)
        # Here, because the engine's thread would keep this one from the interpreter's lock while it counts.
        metrics.observe_batch(batch_images)
