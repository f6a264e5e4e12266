"""The record of releases: the versions that this predictor met, how far each got, and why."""

from collections.abc import Iterator

from distml.protocol.contract import Release, Stage
from distml.serving.monitoring import event_log, metrics

KEPT = 10


class Releases:
    """The last `KEPT` versions that this predictor met, in memory; iteration yields the newest first."""

    def __init__(self) -> None:
        self._releases: dict[tuple[int, str], Release] = {}

    def enter(self, version: int, digest: str, stage: Stage, reason: str = "") -> None:
        """Record that a version has reached `stage`, in the log and the metrics too."""
        # A version that is met again moves to the end.
        self._releases.pop((version, digest), None)
        self._releases[version, digest] = Release(version, digest, stage, reason)
        if len(self._releases) > KEPT:
            del self._releases[next(iter(self._releases))]
        metrics.show_release(version, stage)
        event_log.event("release", version=version, digest=digest, stage=stage, reason=reason)

    def __iter__(self) -> Iterator[Release]:
        return reversed(self._releases.values())
