"""The trial of a newer version: checks on its reference images, a shadow of real requests, then a probation."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import numpy as np

from distml.protocol.contract import Stage
from distml.serving.batching import Batcher
from distml.serving.release.comparison import (
    IMAGES_AT_A_TIME,
    PAIRS,
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
        self._images: np.ndarray | None = None
        self._failure: Exception | None = None
        self._news = asyncio.Event()

    def observe(self, images: np.ndarray) -> None:
        """Keep the images of the newest batch for the comparison."""
        self._images = images[:IMAGES_AT_A_TIME]
        self._news.set()

    def fail(self, error: Exception) -> None:
        """Let the trusted version take over again, before the next batch, after a failure of the candidate."""
        if self._failure is None:
            self._failure = error
            self._give_back()
            self._news.set()

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
            compared = await self._compare(self._bounds.shadow_seconds, PAIRS)
            self._batcher.fallback = self.trusted
            self._switch_to(self.candidate)
            self._enter(Stage.PROBATION, f"{compared} batches compared in shadow")
            compared += await self._compare(self._bounds.probation_seconds)
            self._check_failure()
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
        """Let the trusted version answer from the next batch on, if the candidate does."""
        self._batcher.fallback = None
        if self._batcher.version is self.candidate:
            self._switch_to(self.trusted)

    async def _check(self) -> None:
        """Compare both versions on the candidate's reference images, before it sees a request."""
        self._comparison.check_classes()
        reference = await asyncio.to_thread(read_reference, self._folder, self.candidate)
        answers = []
        for start in range(0, len(reference.labels), IMAGES_AT_A_TIME):
            images = reference.images[start : start + IMAGES_AT_A_TIME]
            try:
                answers.append(await self._classify_both(images))
            except ImagesAtFault as error:
                raise Rejected(f"version {self.trusted.number} fails on its reference images: {error}") from error
        trusted, candidate = (np.concatenate(parts) for parts in zip(*answers, strict=True))
        self._comparison.check_answers(reference, trusted, candidate)
        self._comparison.check_time()

    async def _compare(self, seconds: float, batches: int | None = None) -> int:
        """Compare both versions on real batches for `seconds`, or until `batches`; return the number of batches."""
        compared = 0
        async for images in self._real_batches(seconds):
            try:
                await self._classify_both(images)
            except ImagesAtFault:
                continue
            self._comparison.check_time()
            compared += 1
            if compared == batches:
                break
        return compared

    async def _real_batches(self, seconds: float) -> AsyncIterator[np.ndarray]:
        """Yield images of real batches as they come, for `seconds`.

        Raises:
            Rejected: the candidate failed on a batch of requests.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while loop.time() < end:
            try:
                async with asyncio.timeout_at(end):
                    await self._news.wait()
            except TimeoutError:
                return
            self._news.clear()
            self._check_failure()
            if self._images is not None:
                images, self._images = self._images, None
                yield images

    def _check_failure(self) -> None:
        if self._failure is not None:
            raise Rejected(f"it failed on a batch during probation: {one_line(self._failure)}") from self._failure

    async def _classify_both(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Classify images with both versions when the engine is free, then leave the engine to the requests."""
        answers = await self._batcher.run_between_batches(partial(self._comparison.classify_both, images))
        await asyncio.sleep(self._comparison.seconds * (1 / SHARE_OF_ENGINE - 1))
        return answers
