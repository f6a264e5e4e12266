"""Clients that do not behave: hostile requests, slow and half-open connections, and more of them than a process has."""

import contextlib
import http.client
import json
import resource
import shutil
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from distml.model import saved_model
from distml.publishing.versions import publication
from distml.step.volume import Volume
from reliability.mixed_load import ANNOUNCED, MixedLoad, classes_of
from reliability.promises import Promise, attack
from support.hostile.traffic import Traffic, kinds
from support.load import BODY, body_of
from support.predictor_process import PREDICT, Predictor
from support.predictor_requests import IMAGES

SECONDS_OF_LOAD = 8
# In MiB, as in tests/serving/test_hostile_requests.py.
LARGEST_MEMORY = 400
SECONDS_WITHOUT_DESCRIPTORS = 2
SECONDS_TO_RECOVER = 20
Record = Callable[[str, object], None]


def head_of(content: bytes) -> bytes:
    return f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n\r\n".encode()


HEAD = head_of(BODY)


@pytest.fixture
def load(server: Predictor, served: Volume) -> MixedLoad:
    """Return ordinary requests to the predictor."""
    return MixedLoad(server, classes_of(served.version(1)))


@pytest.fixture
def expected(served: Volume) -> np.ndarray:
    """Return the probabilities that the SavedModel finds for each of `IMAGES`."""
    model, _ = saved_model.load(served.version(1))
    return model.signatures["serving_arrays"](images=IMAGES)["probabilities"].numpy()


def record(record_property: Record, times: int, load: MixedLoad) -> None:
    record_property("times", times)
    record_property("lost", len(load.faults))
    record_property("ordinary_requests", load.statuses.total())
    record_property("announced_503", load.statuses[ANNOUNCED])
    record_property("longest_answer_in_ms", round(max(load.seconds) * 1000))


def check_undelayed(load: MixedLoad) -> None:
    """Check that ordinary clients had their answers, nearly all of them other than 503, while others misbehaved."""
    assert not load.faults, "\n".join(load.faults[:20])
    assert load.statuses["200"] > 10 * load.statuses[ANNOUNCED], load.statuses
    assert max(load.seconds) < SECONDS_OF_LOAD / 2, "a request waited for the clients that misbehave"


@attack(Promise.HOSTILE, "requests of the kinds of make test-hostile, in another order", hour=20_000, night=100_000)
def test_hostile_requests_get_their_answers(
    server: Predictor, served: Volume, times: int, record_property: Record
) -> None:
    classes, faults, memory, sent = classes_of(served.version(1)), [], 0.0, 0
    while sent < times:
        traffic = Traffic(kinds(classes), seed=sent)
        memory = max(memory, *traffic.send_all(server))
        faults += traffic.faults
        sent += traffic.ended.total()
    record_property("times", sent)
    record_property("lost", len(faults))
    record_property("largest_memory_in_MiB", round(memory))
    assert not faults, "\n".join(faults[:20])
    assert memory < LARGEST_MEMORY
    assert server.process.poll() is None


def connect(server: Predictor) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.http_port), timeout=30)


@attack(Promise.HOSTILE, "senders of a byte every half second beside ordinary requests", quick=20, hour=300, night=900)
def test_slow_senders_delay_nobody(server: Predictor, load: MixedLoad, times: int, record_property: Record) -> None:
    with contextlib.ExitStack() as stack, load:
        senders = [stack.enter_context(connect(server)) for _ in range(times)]
        until, sent = time.monotonic() + SECONDS_OF_LOAD, 0
        while time.monotonic() < until:
            for sender in senders:
                with contextlib.suppress(OSError):  # the predictor may have had enough of it
                    sender.sendall(HEAD[sent : sent + 1])
            sent += 1
            time.sleep(0.5)
    record(record_property, times, load)
    check_undelayed(load)


@attack(Promise.HOSTILE, "connections that stay half-open or are reset, beside ordinary requests", quick=60, hour=900)
def test_half_open_connections_harm_nobody(
    server: Predictor, load: MixedLoad, times: int, record_property: Record
) -> None:
    parts = (b"", HEAD[:30], HEAD + BODY[:50], HEAD + BODY)
    with contextlib.ExitStack() as stack, load:
        until = time.monotonic() + SECONDS_OF_LOAD
        for number in range(times):
            connection = stack.enter_context(connect(server))
            connection.sendall(parts[number % len(parts)])
            if number % 3 == 0:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()
        time.sleep(max(until - time.monotonic(), 0))
    record(record_property, times, load)
    check_undelayed(load)


def fault_over(connection: socket.socket, number: int, expected: np.ndarray) -> str:
    """Ask for an image over a connection; return "" for the right answer, else its status or what is wrong.

    An announced 503 is "503". The images take turns, so that the answer for another client is a wrong one.
    """
    image = number % len(IMAGES)
    content = body_of(IMAGES[image, ..., 0])
    try:
        connection.sendall(head_of(content) + content)
        response = http.client.HTTPResponse(connection)
        response.begin()
        answer = json.loads(response.read())
        if response.status == 503 and response.headers["Retry-After"]:
            return "503"
        if response.status != 200:
            return f"{response.status} {answer}"
        (row,) = answer["predictions"]
        return "" if np.allclose(row["probabilities"], expected[image], atol=0.001) else f"wrong answer {row}"
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        return type(error).__name__


@attack(Promise.HOSTILE, "connections at once, each with a request", quick=200, hour=1000, night=4000)
def test_each_of_many_connections_gets_its_answer(
    server: Predictor, times: int, expected: np.ndarray, record_property: Record
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = times + 200
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"this user may open {hard} files, and the attack needs {needed}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    try:
        with contextlib.ExitStack() as stack, ThreadPoolExecutor(50) as threads:
            connections = [stack.enter_context(connect(server)) for _ in range(times)]
            found = Counter(threads.map(partial(fault_over, expected=expected), connections, range(times)))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    record_property("times", times)
    record_property("lost", times - found[""] - found["503"])
    record_property("announced_503", found["503"])
    assert found.keys() <= {"", "503"}, found
    assert found[""] > times / 2, found


@contextlib.contextmanager
def no_descriptor_left(server: Predictor) -> Iterator[None]:
    """Open connections until the predictor has no file descriptor left; close them at the end of the block."""
    files = Path(f"/proc/{server.process.pid}/fd")
    limit = max(int(entry.name) for entry in files.iterdir()) + 20
    _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (limit, hard))
    with contextlib.ExitStack() as stack:
        for _ in range(limit):
            stack.enter_context(connect(server)).sendall(HEAD[:20])
        server.wait(lambda: len(list(files.iterdir())) == limit, "out of file descriptors", SECONDS_TO_RECOVER)
        yield


@attack(Promise.HOSTILE, "a predictor that has no file descriptor left, and a new version meanwhile", quick=1, hour=5)
def test_a_predictor_without_descriptors_recovers(
    server: Predictor, served: Volume, times: int, tmp_path: Path, expected: np.ndarray, record_property: Record
) -> None:
    candidate = Path(shutil.copytree(served.version(1), tmp_path / "candidate"))
    faults: list[str] = []
    rounds = asked = 0

    def answered_by() -> str:
        return server.post(PREDICT, BODY)[1].get("model_version", "")

    for number in range(2, times + 2):
        rounds += 1
        try:
            with connect(server) as earlier, no_descriptor_left(server):
                publication.publish(served, candidate, {}, keep=5)
                until = time.monotonic() + SECONDS_WITHOUT_DESCRIPTORS
                while time.monotonic() < until:
                    faults += filter(None, [fault_over(earlier, asked, expected)])
                    asked += 1
                    time.sleep(0.1)
            # The limit stays: the connections that go make room.
            server.wait(answered_by, "answering again", SECONDS_TO_RECOVER)
            server.wait(lambda: answered_by() == str(number), "on the new version", SECONDS_TO_RECOVER)  # noqa: B023
        except (AssertionError, OSError) as error:
            faults.append(f"{type(error).__name__}: {error}")
            break
    record_property("times", rounds)
    record_property("lost", len(faults))
    record_property("requests_meanwhile", asked)
    assert not faults, "\n".join(faults[:20])
    assert server.process.poll() is None
