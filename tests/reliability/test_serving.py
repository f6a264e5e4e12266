"""Version switches and terminations of predictors, while requests keep arriving."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from distml.publishing.versions import decisions, publication
from distml.step.volume import Volume
from reliability.mixed_load import ANNOUNCED, MixedLoad, classes_of
from reliability.promises import Promise, attack
from support.predictor_process import READY, Predictor, predictor

BETWEEN_SWITCHES = 2
KEEP = 5
# In seconds: a probe's period, and the drain, which in the pods too is longer than a few probes.
PROBE_EVERY, DRAIN = 0.2, 1.5
Record = Callable[[str, object], None]


@pytest.fixture
def volume(published_volume: Volume, tmp_path: Path) -> Volume:
    volume = Volume(tmp_path / "volume")
    shutil.copytree(published_volume.versions, volume.versions)
    return volume


def record(record_property: Record, times: int, load: MixedLoad) -> None:
    record_property("times", times)
    record_property("lost", len(load.faults))
    record_property("requests", load.statuses.total())
    record_property("announced_503", load.statuses[ANNOUNCED])


@attack(Promise.SERVING, "a switch of the version every two seconds under load", quick=3, hour=30, night=300)
def test_switches_every_two_seconds_lose_no_request(
    volume: Volume, times: int, tmp_path: Path, record_property: Record
) -> None:
    candidate = Path(shutil.copytree(volume.version(1), tmp_path / "candidate"))
    with predictor(volume, tmp_path / "log", "--release", "instant") as server:
        with MixedLoad(lambda: server, classes_of(volume.version(1))) as load:
            for number in range(times):
                if number % 3 == 2:
                    decisions.roll_back(volume, None, "as an attack")
                else:
                    publication.publish(volume, candidate, {}, KEEP)
                time.sleep(BETWEEN_SWITCHES)
        taken_up = [event["version"] for event in server.events() if event["event"] == "version taken up"]
    record(record_property, times, load)
    record_property("versions_taken_up", len(taken_up))
    assert not load.faults, "\n".join(load.faults[:20])
    assert len(taken_up) >= times


class Service:
    """Predictors behind an address: a request goes in turn to one whose last probe found it ready."""

    def __init__(self) -> None:
        self.predictors: list[Predictor] = []
        self._ready: list[Predictor] = []
        self._turn = 0

    def target(self) -> Predictor:
        ready, self._turn = self._ready, self._turn + 1
        return ready[self._turn % len(ready)]

    def probe(self) -> None:
        self._ready = [one for one in self.predictors if _is_ready(one)]

    @contextmanager
    def probed(self) -> Iterator[None]:
        """Probe all predictors again and again during the block."""
        ended = threading.Event()

        def probe() -> None:
            while not ended.wait(PROBE_EVERY):
                self.probe()

        self.probe()
        thread = threading.Thread(target=probe)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _is_ready(server: Predictor) -> bool:
    try:
        return server.get(READY)[0] == 200
    except OSError:
        return False


@attack(Promise.SERVING, "SIGTERM to one of two predictors under load", quick=2, hour=50, night=200)
def test_terminations_under_load_lose_no_request(
    volume: Volume, times: int, tmp_path: Path, record_property: Record
) -> None:
    service, statuses = Service(), []
    with ExitStack() as stack:

        def start(number: int) -> Predictor:
            log = tmp_path / f"log-{number}"
            return stack.enter_context(predictor(volume, log, "--drain-seconds", DRAIN))

        service.predictors = [start(0)]
        with service.probed(), MixedLoad(service.target, classes_of(volume.version(1))) as load:
            for number in range(times):
                service.predictors = [*service.predictors, start(number + 1)]
                oldest, *others = service.predictors
                time.sleep(2 * PROBE_EVERY)
                oldest.process.terminate()
                statuses.append(oldest.process.wait(timeout=60))
                service.predictors = others
    record(record_property, times, load)
    assert not load.faults, "\n".join(load.faults[:20])
    assert statuses == [0] * times
