"""Half an hour or more of mixed requests to one predictor, with a publication every minute beside it."""

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from random import Random
from statistics import linear_regression, quantiles
from typing import NamedTuple

import pytest

from distml.model import saved_model
from distml.publishing.versions import publication
from distml.step.volume import Volume
from reliability.promises import Promise, attack
from support.hostile import body_kinds, documents, grpc_kinds
from support.hostile.client import Answer, Client
from support.predictor_process import INFER, PREDICT, Predictor, predictor
from support.predictor_requests import IMAGES

SEED = 20
CLIENTS = 4
# Of each client, in seconds: a load that leaves the processor idle at times.
BETWEEN_REQUESTS = 0.04
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


def ask(client: Client, random: Random, classes: list[int]) -> Answer:
    """Send a valid request in one of the forms of either protocol, and compare the classes in its answer."""
    path, forms = random.choice(((PREDICT, documents.V1_FORMS), (INFER, documents.V2_FORMS)))
    return body_kinds.with_classes(client.post(path, documents.dump(random.choice(forms))), classes)


class Load:
    """Requests of several clients, each with one request at a time."""

    def __init__(self, server: Predictor, classes: list[int]):
        valid = partial(ask, classes=classes)
        valid_grpc = partial(grpc_kinds.valid, classes=classes)
        # Each kind of request, its share, and the statuses that it may get.
        self._kinds: list[tuple[Callable, int, str]] = [
            (valid, 70, "200"),
            (valid_grpc, 15, "OK"),
            (body_kinds.wrong_v1, 4, "200 400"),
            (body_kinds.damaged_json, 4, "200 400"),
            (body_kinds.wrong_v2_binary, 2, "200 400"),
            (grpc_kinds.wrong, 5, "OK INVALID_ARGUMENT NOT_FOUND"),
        ]
        self.server = server
        self.statuses: Counter[str] = Counter()
        self.faults: list[str] = []
        self.seconds: list[float] = []
        self._ended = threading.Event()
        self._counting = threading.Lock()
        self._threads = [threading.Thread(target=self._send, args=[number]) for number in range(CLIENTS)]

    def _send(self, number: int) -> None:
        random, client = Random(f"{SEED} {number}"), Client(self.server)
        shares = [share for _, share, _ in self._kinds]
        while not self._ended.is_set():
            send, _, expected = random.choices(self._kinds, shares)[0]
            started = time.monotonic()
            try:
                answer = send(client, random)
                status = str(answer.status) if isinstance(answer, Answer) else answer
                fault = "" if status in expected.split() else f"status {status}"
            except Exception as error:  # whatever it is, this request has no right answer
                status, fault = "none", f"{type(error).__name__}: {error}"
                client.close()
                client = Client(self.server)
            seconds = time.monotonic() - started
            with self._counting:
                self.statuses[status] += 1
                if fault:
                    self.faults.append(f"{getattr(send, '__name__', 'valid')}: {fault}")
                if expected in ("200", "OK"):
                    self.seconds.append(seconds)
            time.sleep(max(BETWEEN_REQUESTS - seconds, 0))
        client.close()

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def volume(published_volume: Volume, tmp_path: Path) -> Volume:
    volume = Volume(tmp_path / "volume")
    shutil.copytree(published_volume.versions, volume.versions)
    return volume


@pytest.fixture
def server(volume: Volume, tmp_path: Path) -> Iterator[Predictor]:
    with predictor(volume, tmp_path / "log") as running:
        yield running


def sample(load: Load) -> Sample:
    process = Path("/proc") / str(load.server.process.pid)
    memory = load.server.metric("process_resident_memory_bytes") / MEBIBYTE
    return Sample(load.statuses.total(), memory, len([*(process / "fd").iterdir()]))


def p99(seconds: list[float]) -> float:
    """Return the 99th percentile in milliseconds."""
    return round(quantiles(seconds, n=100)[98] * 1000, 1)


@attack(Promise.SOAK, "minutes of mixed requests, every tenth wrong, with a publication a minute", hour=30, night=120)
def test_a_long_load_costs_neither_memory_nor_requests(
    published_volume: Volume,
    volume: Volume,
    server: Predictor,
    times: int,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    candidate = Path(shutil.copytree(volume.version(1), tmp_path / "candidate"))
    model, _ = saved_model.load(published_volume.version(1))
    classes = model.signatures["serving_arrays"](images=IMAGES)["probabilities"].numpy().argmax(axis=1).tolist()
    samples: list[Sample] = []
    versions = 0
    with Load(server, classes) as load:
        ends = time.monotonic() + times * 60
        publishes = time.monotonic() + BETWEEN_PUBLICATIONS
        while time.monotonic() < ends:
            time.sleep(BETWEEN_SAMPLES)
            samples.append(sample(load))
            if time.monotonic() > publishes:
                publication.publish(volume, candidate, {}, KEEP)
                versions += 1
                publishes += BETWEEN_PUBLICATIONS
    warm = samples[int(len(samples) * WARM_UP) :]
    slope = linear_regression([one.requests for one in warm], [one.memory for one in warm]).slope * 10_000
    quarter = len(load.seconds) // 4
    record_property("times", times)
    record_property("lost", len(load.faults))
    record_property("requests", load.statuses.total())
    record_property("versions_published", versions)
    record_property("taken_up", sum(event["event"] == "version taken up" for event in server.events()))
    record_property("p99_of_the_first_quarter_in_ms", p99(load.seconds[:quarter]))
    record_property("p99_of_the_last_quarter_in_ms", p99(load.seconds[-quarter:]))
    record_property("MiB_per_10,000_requests", round(slope, 3))
    record_property("MiB_at_the_end", round(samples[-1].memory))
    record_property("file_descriptors", f"{warm[0].descriptors} to {samples[-1].descriptors}")
    assert not load.faults, "\n".join(load.faults[:20])
    assert slope < 1, samples
    assert samples[-1].descriptors <= warm[0].descriptors + CLIENTS, samples
    server.wait(lambda: server.get("/v2/health/ready")[0] == 200, "ready")
