"""The watch of the published versions: which one answers, at the start and while the predictor runs.

Without bounds, the newest intact version that is not withdrawn answers. With bounds, a starting predictor takes the
released version, and a newer one must pass a trial first, unless the history says that it is released.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from distml.model import manifest
from distml.protocol.contract import Stage
from distml.publishing.versions import folders
from distml.publishing.versions.history import History, State, describe
from distml.serving.batching import Batcher
from distml.serving.monitoring import event_log, metrics
from distml.serving.release import choice, served_version
from distml.serving.release.comparison import Bounds, Rejected
from distml.serving.release.releases import Releases
from distml.serving.release.served_version import ServedVersion
from distml.serving.release.trial import Trial
from distml.step import outcome


class VersionWatch:
    """The watch of one folder of numbered versions, with its history."""

    def __init__(self, folder: Path, threads: int, bounds: Bounds | None = None, public_key: Path | None = None):
        self._folder = folder
        self._threads = threads
        self._bounds = bounds
        self._public_key = public_key
        self._history = History(folder)
        self.releases = Releases()
        self._trial: Trial | None = None
        self._trial_task: asyncio.Task[None] | None = None
        # A version whose files change is tried again, and so are all if the public key changes: damaged versions have
        # the times of the changes here, and versions that a trial rejected their digest.
        self._damaged: dict[int, frozenset] = {}
        self._rejected: dict[int, str] = {}
        # Unreadable at the last check, so that the log says it once.
        self._unreadable: set[int] = set()
        # The highest number of a refused version, and why it was refused.
        self.newest_refusal = (0, "")

    def first(self) -> ServedVersion | None:
        """Load the version with which the predictor starts; return None if no version is intact."""
        offered, state = self._read()
        order = choice.order_at_the_start(offered, state.released) if self._bounds else offered
        version = self._first_intact(order, None)
        if version:
            self._enter(version, Stage.RELEASED, "the predictor started with it; that is not recorded in the history")
        return version

    async def follow(self, batcher: Batcher, switch_to: Callable[[ServedVersion], None], seconds: float) -> None:
        """Check the folder every `seconds`, in a thread, and let another version take over when one should.

        Args:
            batcher: the batcher, with the version that answers.
            switch_to: lets a version answer from the next batch on.
            seconds: time between two checks.
        """
        try:
            while True:
                await asyncio.sleep(seconds)
                try:
                    await self._check(batcher, switch_to)
                except Exception:  # an exception would end this task unnoticed
                    event_log.failure("versions cannot be listed", folder=str(self._folder))
        finally:
            if self._trial_task:
                self._trial_task.cancel()

    async def _check(self, batcher: Batcher, switch_to: Callable[[ServedVersion], None]) -> None:
        offered, state = await asyncio.to_thread(self._read)
        version = None
        if trial := self._trial:
            if choice.is_released(trial.candidate, offered, state):
                await self._release(trial, batcher, switch_to)
                return
            reason, version = await asyncio.to_thread(self._why_the_trial_ends, trial, offered, state)
            if not reason:
                return
            await self._end_trial(reason)
        current = batcher.version
        version = version or await asyncio.to_thread(self._next, current, offered, state)
        if version is None:
            return
        reason = choice.why_without_trial(version, current.number, offered, state)
        if self._bounds and not reason:
            folder = self._folder / str(version.number)
            self._trial = Trial(version, folder, batcher, switch_to, self._bounds, self.releases)
            self._trial_task = asyncio.create_task(self._try(self._trial))
        else:
            if current.number in state.withdrawn:
                self._enter(current, Stage.ENDED, describe(state.withdrawn[current.number]))
            self._take(version, batcher, switch_to, reason)

    def _why_the_trial_ends(self, trial: Trial, offered: list[int], state: State) -> tuple[str, ServedVersion | None]:
        """Return why the trial ends before its time, "" if it goes on, and the newer version if that is the reason.

        The newer version is loaded first: a damaged one ends no trial.
        """
        candidate = trial.candidate
        if reason := choice.why_a_trial_ends(candidate.number, trial.trusted.number, offered, state):
            return reason, None
        newer = self._next(candidate, offered, state)
        if newer is None:
            return "", None
        is_newer = newer.number > candidate.number
        return f"version {newer.number} is newer" if is_newer else "its files were replaced", newer

    def _read(self) -> tuple[list[int], State]:
        """Return the numbers of the versions that are not withdrawn, newest first, and the history's state."""
        state = self._history.state()

        def is_as_published(number: int) -> bool:
            return choice.is_as_published(number, _digest(self._folder / str(number)), state)

        offered = folders.offered(self._folder, state)[::-1]
        return offered, replace(state, released=choice.trusted_release(state, is_as_published))

    def _next(self, current: ServedVersion, offered: list[int], state: State) -> ServedVersion | None:
        """Load the version that should take over, or be tried; return None if `current` should go on."""
        if not self._bounds:
            return self._first_intact(offered, current)
        if release := choice.newer_release(current.number, offered, state.released):
            version = self._load(release, current)
            if version:
                return version
        order = choice.order_after(current.number, offered, state)
        return self._first_intact([number for number in order if not self._is_refused(number)], current)

    def _is_refused(self, number: int) -> bool:
        """Return whether a version is known to be damaged or rejected."""
        folder = self._folder / str(number)
        if number in self._rejected and _digest(folder) in (None, self._rejected[number]):
            return True
        return number in self._damaged and self._damaged[number] == self._changed(folder)

    def _first_intact(self, order: Iterable[int], current: ServedVersion | None) -> ServedVersion | None:
        """Load the first intact version in `order`; return None if it is `current`, or if there is none.

        Two versions are the same if their number and digest are. A damaged version is reported once, in the log and a
        metric, and the next one is tried. If the folder of `current` is damaged, `current` still answers from memory.
        """
        for number in order:
            version = self._load(number, current)
            if version or (current and number == current.number):
                return version if version is not current else None
        return None

    def _load(self, number: int, current: ServedVersion | None) -> ServedVersion | None:
        """Load version `number`. Return `current` if the folder still has it, and None if the version is damaged."""
        folder = self._folder / str(number)
        try:
            if current and number == current.number and _digest(folder) == current.manifest["digest"]:
                return current
            changed = self._changed(folder)
            if self._damaged.get(number) == changed:
                return None
            version = served_version.load(folder, self._threads, self._public_key)
        except outcome.StepError as error:
            self._damaged[number] = changed
            self._refuse(number, error)
            return None
        except Exception:  # such as of the disk, for a moment; the next check tries again
            if number not in self._unreadable:
                event_log.failure("version cannot be read now", version=number)
            self._unreadable.add(number)
            return None
        self._damaged.pop(number, None)
        self._unreadable.discard(number)
        if current and (number, version.manifest["digest"]) == (current.number, current.manifest["digest"]):
            return current  # its manifest could not be read above
        return version

    def _take(
        self, version: ServedVersion, batcher: Batcher, switch_to: Callable[[ServedVersion], None], reason: str
    ) -> None:
        """Let a version answer; if the switch fails, the one before goes on."""
        before = batcher.version
        try:
            if version is not before:
                switch_to(version)
        except Exception as error:
            batcher.version = before
            self._damaged[version.number] = self._changed(self._folder / str(version.number))
            self._refuse(version.number, error)
        else:
            self._rejected.pop(version.number, None)  # the history has the last word
            self._enter(version, Stage.RELEASED, reason)

    def _changed(self, folder: Path) -> frozenset:
        return _times(folder).union(_times(self._public_key) if self._public_key else ())

    def _refuse(self, number: int, error: Exception) -> None:
        metrics.REFUSED.inc()
        reason = str(error) or type(error).__name__
        event_log.failure("version refused", version=number, reason=reason)
        self.releases.enter(number, "", Stage.REJECTED, reason)
        self.newest_refusal = max(self.newest_refusal, (number, reason))

    def _enter(self, version: ServedVersion, stage: Stage, reason: str) -> None:
        self.releases.enter(version.number, version.manifest["digest"], stage, reason)

    async def _try(self, trial: Trial) -> None:
        """Run a trial to its end; a rejected version is not tried again unless its files change."""
        candidate = trial.candidate
        try:
            await trial.run()
        except Exception as error:
            if not isinstance(error, (Rejected, outcome.StepError)):
                event_log.failure("trial failed", version=candidate.number)
            self._rejected[candidate.number] = candidate.manifest["digest"]
            self._enter(candidate, Stage.REJECTED, str(error) or type(error).__name__)
        self._trial = self._trial_task = None

    async def _release(self, trial: Trial, batcher: Batcher, switch_to: Callable[[ServedVersion], None]) -> None:
        """End a trial whose version the history has released: it answers from now on, if it does not already."""
        trial.accepted = True
        await self._end_trial()
        self._take(trial.candidate, batcher, switch_to, choice.RELEASED)

    async def _end_trial(self, reason: str = "") -> None:
        """Cancel the trial in progress; afterwards the trusted version answers, unless the candidate was accepted."""
        trial, task = self._trial, self._trial_task
        if trial and task:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if task.cancelled() and reason:
                self._enter(trial.candidate, Stage.ENDED, reason)
        self._trial = self._trial_task = None


def _digest(folder: Path) -> str | None:
    """Return the digest in the manifest of the version in `folder`; None if it cannot be read."""
    try:
        return manifest.read(folder)["digest"]
    except (outcome.StepError, OSError):
        return None


def _times(path: Path) -> frozenset:
    """Return each file's last change, if readable; with a wrong clock, a repair may be older than the newest one."""
    try:
        return frozenset((file, file.stat().st_mtime) for file in (path, *path.rglob("*")))
    except OSError:  # such as a version that is being removed
        return frozenset()
