"""The watch of the published versions: the newest that is whole answers, now and while the predictor runs."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from distml.model import manifest
from distml.publishing import versions
from distml.serving import event_log, metrics
from distml.serving.release import served_version
from distml.serving.release.served_version import ServedVersion
from distml.step import outcome


class VersionWatch:
    """Watches a folder of numeric versions, as `versions` writes it."""

    def __init__(self, folder: Path, threads: int):
        self._folder = folder
        self._threads = threads
        # Versions that were refused, each with the time of its newest change: changed files get another chance.
        self._refused: dict[int, float] = {}

    def newest(self, than: ServedVersion | None = None) -> ServedVersion | None:
        """Load the newest version that is whole; None when that is `than`, or there is none.

        A version is the same when its number and its digest are. One that is damaged is said in log and metric, once,
        and the one before it is looked at; damage in the folder of `than` leaves it answering, as it is in memory.
        """
        for number in reversed(versions.numbers(self._folder)):
            version = self._load_unless(number, than)
            if version or (than and number == than.number):
                return version if version is not than else None
        return None

    def _load_unless(self, number: int, than: ServedVersion | None) -> ServedVersion | None:
        """Load the version of this number, unless it is `than`; None when it is refused."""
        folder = self._folder / str(number)
        try:
            if than and _holds(folder, than):
                return than
            changed = _newest_change(folder)
            if self._refused.get(number) == changed:
                return None
            self._refused[number] = changed
            version = served_version.load(folder, self._threads)
        except Exception as error:  # whatever a version is like, those before it can still answer
            self._refuse(number, error)
            return None
        del self._refused[number]
        return version

    def _refuse(self, number: int, error: Exception) -> None:
        metrics.REFUSED.inc()
        event_log.failure("version refused", version=number, reason=str(error) or type(error).__name__)

    async def follow(self, current: ServedVersion, switch_to: Callable[[ServedVersion], None], seconds: float) -> None:
        """Look every `seconds`, beside the event loop, and call `switch_to` with what is to answer from now on."""
        while True:
            await asyncio.sleep(seconds)
            try:
                version = await asyncio.to_thread(self.newest, than=current)
            except Exception:  # nobody would notice the end of this task
                event_log.failure("versions cannot be listed", folder=str(self._folder))
                continue
            if version:
                try:
                    switch_to(version)
                except Exception as error:
                    with contextlib.suppress(OSError):  # it was removed meanwhile
                        self._refused[version.number] = _newest_change(self._folder / str(version.number))
                    self._refuse(version.number, error)
                else:
                    current = version


def _holds(folder: Path, version: ServedVersion) -> bool:
    """Tell whether `version` came from what is in `folder` now."""
    try:
        return int(folder.name) == version.number and manifest.read(folder)["digest"] == version.manifest["digest"]
    except (outcome.StepError, OSError):
        return False


def _newest_change(folder: Path) -> float:
    """Return when a file in `folder` changed last, in seconds since 1970."""
    return max((path.stat().st_mtime for path in folder.rglob("*")), default=0.0)
