"""Which published version answers: the newest that is whole; looked at again and again while the predictor runs."""

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
        # Versions that were refused, each with the state that it was in: changed files get another chance.
        self._refused: dict[int, float] = {}

    def newest(self, than: ServedVersion | None = None) -> ServedVersion | None:
        """Load the newest version that is whole; None when that is `than`, or there is none.

        A version is the same when its number and its digest are. One that is damaged is said in log and metric, once,
        and the one before it is looked at; damage in the folder of `than` leaves it answering, as it is in memory.
        """
        for number in reversed(versions.numbers(self._folder)):
            version = self._looked_at(number, than)
            if version or (than and number == than.number):
                return version if version is not than else None
        return None

    def _looked_at(self, number: int, than: ServedVersion | None) -> ServedVersion | None:
        """The version of this number, loaded unless it is `than`; None when it is refused."""
        folder = self._folder / str(number)
        try:
            if than and _is(folder, than):
                return than
            state = _state(folder)
            if self._refused.get(number) == state:
                return None
            self._refused[number] = state
            version = served_version.load(folder, self._threads)
        except Exception as error:  # whatever a version is like, those before it can still answer
            self._refuse(number, error)
            return None
        del self._refused[number]
        return version

    def _refuse(self, number: int, error: Exception) -> None:
        metrics.REFUSED.inc()
        event_log.failure("version refused", version=number, reason=str(error) or type(error).__name__)

    async def follow(self, current: ServedVersion, take_up: Callable[[ServedVersion], None], seconds: float) -> None:
        """Look every `seconds`, beside the event loop, and give `take_up` what is to answer from now on."""
        while True:
            await asyncio.sleep(seconds)
            try:
                version = await asyncio.to_thread(self.newest, than=current)
            except Exception:  # nobody would notice the end of this task
                event_log.failure("versions cannot be listed", folder=str(self._folder))
                continue
            if version:
                try:
                    take_up(version)
                except Exception as error:
                    with contextlib.suppress(OSError):  # it was removed meanwhile
                        self._refused[version.number] = _state(self._folder / str(version.number))
                    self._refuse(version.number, error)
                else:
                    current = version


def _is(folder: Path, version: ServedVersion) -> bool:
    """Whether `version` came from what is in `folder` now."""
    try:
        return int(folder.name) == version.number and manifest.read(folder)["digest"] == version.manifest["digest"]
    except (outcome.StepError, OSError):
        return False


def _state(folder: Path) -> float:
    return max((path.stat().st_mtime for path in folder.rglob("*")), default=0.0)
