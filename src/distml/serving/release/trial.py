"""The trial of a newer version: checks on its reference images, a shadow of real requests, then a probation."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from distml.protocol.contract import Stage
from distml.publishing.versions.reference_images import ReferenceImages
from distml.serving.batching import Batcher
from distml.serving.monitoring import event_log
from distml.serving.release.comparison import (
    IMAGES_AT_A_TIME,
    Bounds,
    Comparison,
    ImagesAtFault,
    Rejected,
    one_line,
    read_reference,
)
from distml.serving.release.releases import Releases
from distml.serving.release.served_version import ServedVersion

# The engine works for a trial at most this share of the time, so that requests hardly notice.
SHARE_OF_ENGINE = 0.2
# The shadow stage ends once it has compared so many batches.
MAX_BATCHES_IN_SHADOW = 200
# Time until reference images that could not be read are read again.
SECONDS_UNTIL_READ_AGAIN = 2


class Trial:
    """The trial of `candidate` against the version that answers, which stays loaded until the trial ends.

    It is the batcher's observer: it sees the images of real batches, and failures of the candidate during probation.
    """

    def __init__(
        self,
        candidate: ServedVersion,
        folder: Path,
        batcher: Batcher,
        switch_to: Callable[[ServedVersion], None],
        bounds: Bounds,
        releases: Releases,
    ):
        self.candidate = candidate
        self._folder = folder
        self._batcher = batcher
        self._switch_to = switch_to
        self._bounds = bounds
        self._releases = releases
        self.trusted = batcher.version
        self._comparison = Comparison(self.trusted, candidate, bounds)
        # The images of the newest batches that are not compared yet.
        self._newest: deque[np.ndarray] = deque(maxlen=IMAGES_AT_A_TIME)
        self._failure: Exception | None = None
        self._news = asyncio.Event()
        # Set when the history releases the candidate: the trusted version then takes over no more.
        self.accepted = False

    def observe(self, images: np.ndarray) -> None:
        """Keep the images of a batch for the comparison."""
        self._newest.append(images[-IMAGES_AT_A_TIME:])
        self._news.set()

    def fail(self, error: Exception) -> None:
        """Let the trusted version take over again, before the next batch, after a failure of the candidate."""
        if self._failure is None:
            self._failure = error
            self._news.set()
            self._give_back()

    async def run(self) -> None:
        """Run the trial; at its end the candidate answers.

        If the trial is rejected or cancelled, the trusted version answers.

        Raises:
            Rejected: the candidate is not good enough.
            StepError: its reference images are missing or malformed.
        """
        try:
            self._enter(Stage.CHECKING)
            await self._check()
            self._batcher.observer = self
            self._enter(Stage.SHADOW)
            compared = await self._compare(self._bounds.shadow_seconds, MAX_BATCHES_IN_SHADOW)
            self._batcher.fallback = self.trusted
            self._switch_to(self.candidate)
            self._enter(Stage.PROBATION, f"{compared} batches compared in shadow")
            compared += await self._compare(self._bounds.probation_seconds)
            self._enter(Stage.RELEASED, self._summary(compared))
        except BaseException:
            self._give_back()
            raise
        finally:
            self._batcher.observer = self._batcher.fallback = None

    def _enter(self, stage: Stage, reason: str = "") -> None:
        self._releases.enter(self.candidate.number, self.candidate.manifest["digest"], stage, reason)

    def _summary(self, compared: int) -> str:
        slowdown = self._comparison.slowdown
        time_per_image = f", {slowdown:.2f} times version {self.trusted.number}'s engine time" if slowdown else ""
        return f"{compared} batches compared{time_per_image}"

    def _give_back(self) -> None:
        """Let the trusted version answer from the next batch on, if the candidate does and was not accepted."""
        self._batcher.fallback = None
        if self._batcher.version is self.candidate and not self.accepted:
            self._batcher.version = self.trusted  # whatever `switch_to` meets
            self._switch_to(self.trusted)

    async def _check(self) -> None:
        """Compare both versions on the candidate's reference images, before it sees a request."""
        self._comparison.check_classes()
        reference = await self._reference()
        answers = []
        for start in range(0, len(reference.labels), IMAGES_AT_A_TIME):
            images = reference.images[start : start + IMAGES_AT_A_TIME]
            try:
                answers.append(await self._classify_both(images))
            except ImagesAtFault as error:
                raise Rejected(f"it fails on its own reference images: {error}") from error
            self._comparison.check_time()
        trusted, candidate = (np.concatenate(parts) for parts in zip(*answers, strict=True))
        self._comparison.check_answers(reference, trusted, candidate)

    async def _reference(self) -> ReferenceImages:
        """Read the candidate's reference images; as long as the disk fails, try again."""
        is_logged = False
        while True:
            try:
                return await asyncio.to_thread(read_reference, self._folder, self.candidate)
            except (OSError, MemoryError):
                if not is_logged:
                    event_log.failure("reference images cannot be read now", version=self.candidate.number)
                is_logged = True
            await asyncio.sleep(SECONDS_UNTIL_READ_AGAIN)

    async def _compare(self, seconds: float, batches: int | None = None) -> int:
        """Compare both versions on real batches for `seconds`, or until `batches`; return the number of batches.

        Raises:
            Rejected: the candidate failed on a batch of requests, or is slower than the bound.
        """
        end = asyncio.get_running_loop().time() + seconds
        compared = 0
        while compared != batches and await self._wait_for_batch(end):
            self._check_failure()
            images = np.concatenate(self._newest)[-IMAGES_AT_A_TIME:]
            self._newest.clear()
            with contextlib.suppress(ImagesAtFault):
                await self._classify_both(images)
                self._comparison.check_time()
                compared += 1
        self._check_failure()
        return compared

    async def _wait_for_batch(self, end: float) -> bool:
        """Wait until there is a batch to compare; return False if it is `end`, in the event loop's time, before."""
        try:
            async with asyncio.timeout_at(end):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        # With a batch always at hand, the wait above would never time out.
        return asyncio.get_running_loop().time() < end

    def _check_failure(self) -> None:
        if self._failure is not None:
            raise Rejected(f"it failed on a batch during probation: {one_line(self._failure)}") from self._failure

    async def _classify_both(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Classify images with both versions when the engine is free, then leave the engine to the requests."""
        answers = await self._batcher.run_between_batches(partial(self._comparison.classify_both, images))
        await asyncio.sleep(self._comparison.seconds * (1 / SHARE_OF_ENGINE - 1))
        return answers
