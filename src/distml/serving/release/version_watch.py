"""The watch of the published versions: the newest intact one answers, at the start and while the predictor runs."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from distml.model import manifest
from distml.publishing.versions import publication
from distml.serving import event_log, metrics
from distml.serving.release import served_version
from distml.serving.release.served_version import ServedVersion
from distml.step import outcome


class VersionWatch:
    """The watch of one folder of numbered versions, as `versions` writes it."""

    def __init__(self, folder: Path, threads: int):
        self._folder = folder
        self._threads = threads
        # Refused versions, each with the time of its newest change: a version whose files change is tried again.
        self._refused: dict[int, float] = {}

    def newest(self, current: ServedVersion | None = None) -> ServedVersion | None:
        """Load the newest intact version; return None if it is `current`, or if there is none.

        Two versions are the same if their number and digest are. A damaged version is reported once, in the log and a
        metric, and the version before it is tried. If the folder of `current` is damaged, `current` still answers from
        memory.
        """
        for number in reversed(publication.numbers(self._folder)):
            version = self._load_unless_current(number, current)
            if version or (current and number == current.number):
                return version if version is not current else None
        return None

    def _load_unless_current(self, number: int, current: ServedVersion | None) -> ServedVersion | None:
        """Load version `number`. Return `current` if the folder still has it, and None if the version is refused."""
        folder = self._folder / str(number)
        try:
            if current and _is_in(folder, current):
                return current
            changed = _newest_change(folder)
            if self._refused.get(number) == changed:
                return None
            self._refused[number] = changed
            version = served_version.load(folder, self._threads)
        except Exception as error:  # whatever is wrong with a version, an older one can answer
            self._refuse(number, error)
            return None
        del self._refused[number]
        return version

    def _refuse(self, number: int, error: Exception) -> None:
        metrics.REFUSED.inc()
        event_log.failure("version refused", version=number, reason=str(error) or type(error).__name__)

    async def follow(self, current: ServedVersion, switch_to: Callable[[ServedVersion], None], seconds: float) -> None:
        """Check the folder every `seconds`, in a thread, and call `switch_to` with each version that takes over."""
        while True:
            await asyncio.sleep(seconds)
            try:
                version = await asyncio.to_thread(self.newest, current=current)
            except Exception:  # an exception would end this task unnoticed
                event_log.failure("versions cannot be listed", folder=str(self._folder))
                continue
            if version:
                try:
                    switch_to(version)
                except Exception as error:
                    with contextlib.suppress(OSError):  # the version was removed
                        self._refused[version.number] = _newest_change(self._folder / str(version.number))
                    self._refuse(version.number, error)
                else:
                    current = version


def _is_in(folder: Path, version: ServedVersion) -> bool:
    """Return whether the version in `folder` is still `version`, by number and digest."""
    try:
        return int(folder.name) == version.number and manifest.read(folder)["digest"] == version.manifest["digest"]
    except (outcome.StepError, OSError):
        return False


def _newest_change(folder: Path) -> float:
    """Return the time of the last change of a file in `folder`, in seconds since 1970."""
    return max((path.stat().st_mtime for path in folder.rglob("*")), default=0.0)
