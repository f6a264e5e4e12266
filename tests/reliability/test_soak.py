"""Half an hour or more of mixed requests to one predictor, with a publication every minute beside it."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from statistics import linear_regression, quantiles
from typing import NamedTuple

from distml.publishing.versions import publication
from distml.step.volume import Volume
from reliability.mixed_load import ANNOUNCED, CLIENTS, MixedLoad, classes_of
from reliability.promises import Promise, attack
from support.predictor_process import Predictor

BETWEEN_SAMPLES = 5
BETWEEN_PUBLICATIONS = 60
# Of all samples of the memory, the share at the start in which pools and caches fill.
WARM_UP = 0.2
KEEP = 5
MEBIBYTE = 2**20


class Sample(NamedTuple):
    """The predictor at one moment."""

    requests: int
    memory: float  # MiB
    descriptors: int


def sample(server: Predictor, load: MixedLoad) -> Sample:
    process = Path("/proc") / str(server.process.pid)
    memory = server.metric("process_resident_memory_bytes") / MEBIBYTE
    return Sample(load.statuses.total(), memory, len([*(process / "fd").iterdir()]))


def p99(seconds: list[float]) -> float:
    """Return the 99th percentile in milliseconds."""
    return round(quantiles(seconds, n=100)[98] * 1000, 1)


@attack(Promise.SOAK, "minutes of mixed requests, every seventh wrong, with a publication a minute", hour=30, night=120)
def test_a_long_load_costs_neither_memory_nor_requests(
    served: Volume,
    server: Predictor,
    times: int,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    candidate = Path(shutil.copytree(served.version(1), tmp_path / "candidate"))
    samples: list[Sample] = []
    versions = 0
    with MixedLoad(server, classes_of(served.version(1)), wrong=True) as load:
        ends = time.monotonic() + times * 60
        publishes = time.monotonic() + BETWEEN_PUBLICATIONS
        while time.monotonic() < ends:
            time.sleep(BETWEEN_SAMPLES)
            samples.append(sample(server, load))
            if time.monotonic() > publishes:
                publication.publish(served, candidate, {}, KEEP)
                versions += 1
                publishes += BETWEEN_PUBLICATIONS
    warm = samples[int(len(samples) * WARM_UP) :]
    slope = linear_regression([one.requests for one in warm], [one.memory for one in warm]).slope * 10_000
    quarter = len(load.seconds) // 4
    first, last = p99(load.seconds[:quarter]), p99(load.seconds[-quarter:])
    taken_up = sum(event["event"] == "version taken up" for event in server.events())
    record_property("times", times)
    record_property("lost", len(load.faults))
    record_property("requests", load.statuses.total())
    record_property("versions_published", versions)
    record_property("taken_up", taken_up)
    record_property("p99_of_the_first_quarter_in_ms", first)
    record_property("p99_of_the_last_quarter_in_ms", last)
    record_property("MiB_per_10,000_requests", round(slope, 3))
    record_property("MiB_at_the_end", round(samples[-1].memory))
    record_property("file_descriptors", f"{warm[0].descriptors} to {samples[-1].descriptors}")
    assert not load.faults, "\n".join(load.faults[:20])
    assert load.statuses["200"] > 100 * load.statuses[ANNOUNCED], load.statuses
    assert taken_up >= versions - 1, "the predictor did not take up the versions"  # the last may just have come
    assert slope < 1, samples
    assert samples[-1].descriptors <= warm[0].descriptors + CLIENTS, samples
    server.wait(lambda: server.get("/v2/health/ready")[0] == 200, "ready")
