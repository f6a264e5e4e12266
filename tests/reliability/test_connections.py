"""Clients that do not behave: hostile requests, slow and half-open connections, and more of them than a process has."""

import contextlib
import resource
import shutil
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from distml.publishing.versions import publication
from distml.step.volume import Volume
from reliability.mixed_load import MixedLoad, classes_of
from reliability.promises import Promise, attack
from support.hostile.traffic import Traffic, kinds
from support.load import BODY
from support.predictor_process import PREDICT, Predictor, predictor

HEAD = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
SECONDS_OF_LOAD = 8
Record = Callable[[str, object], None]


@pytest.fixture
def volume(published_volume: Volume, tmp_path: Path) -> Volume:
    volume = Volume(tmp_path / "volume")
    shutil.copytree(published_volume.versions, volume.versions)
    return volume


@pytest.fixture
def server(volume: Volume, tmp_path: Path) -> Iterator[Predictor]:
    with predictor(volume, tmp_path / "log") as running:
        yield running


@pytest.fixture
def load(server: Predictor, volume: Volume) -> MixedLoad:
    """Return ordinary requests to the predictor."""
    return MixedLoad(lambda: server, classes_of(volume.version(1)))


def record(record_property: Record, times: int, load: MixedLoad) -> None:
    record_property("times", times)
    record_property("lost", len(load.faults))
    record_property("ordinary_requests", load.statuses.total())


@attack(Promise.HOSTILE, "requests of the kinds of make test-hostile, in another order", hour=20_000, night=100_000)
def test_hostile_requests_get_their_answers(
    server: Predictor, volume: Volume, times: int, record_property: Record
) -> None:
    classes, faults, memory, sent = classes_of(volume.version(1)), [], 0.0, 0
    while sent < times:
        traffic = Traffic(kinds(classes), seed=sent)
        memory = max(memory, *traffic.send_all(server))
        faults += traffic.faults
        sent += traffic.ended.total()
    record_property("times", sent)
    record_property("lost", len(faults))
    record_property("largest_memory_in_MiB", round(memory))
    assert not faults, "\n".join(faults[:20])
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
    assert not load.faults, "\n".join(load.faults[:20])


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
    assert not load.faults, "\n".join(load.faults[:20])


def answer_over(connection: socket.socket) -> str:
    """Send a request over a connection; return the status of its answer, or the error."""
    try:
        connection.sendall(HEAD + BODY)
        return connection.recv(65536).split(b" ")[1].decode()
    except (OSError, IndexError) as error:
        return type(error).__name__


@attack(Promise.HOSTILE, "connections at once, each with a request", quick=200, hour=1000, night=4000)
def test_each_of_many_connections_gets_its_answer(server: Predictor, times: int, record_property: Record) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = times + 200
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"this user may open {hard} files, and the attack needs {needed}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    try:
        with contextlib.ExitStack() as stack, ThreadPoolExecutor(50) as threads:
            connections = [stack.enter_context(connect(server)) for _ in range(times)]
            statuses = Counter(threads.map(answer_over, connections))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    record_property("times", times)
    record_property("lost", times - statuses["200"] - statuses["503"])
    record_property("announced_503", statuses["503"])
    assert statuses.keys() <= {"200", "503"}, statuses
    assert statuses["200"]


@attack(Promise.HOSTILE, "a predictor that has no file descriptor left, and a new version meanwhile", quick=1, hour=5)
def test_a_predictor_without_descriptors_recovers(
    server: Predictor, volume: Volume, times: int, tmp_path: Path, record_property: Record
) -> None:
    candidate = Path(shutil.copytree(volume.version(1), tmp_path / "candidate"))
    process, lost = server.process.pid, 0
    limits = resource.prlimit(process, resource.RLIMIT_NOFILE)
    for number in range(2, times + 2):
        used = max(int(entry.name) for entry in Path(f"/proc/{process}/fd").iterdir())
        with contextlib.ExitStack() as stack, connect(server) as earlier:
            lost += answer_over(earlier) != "200"
            resource.prlimit(process, resource.RLIMIT_NOFILE, (used + 20, limits[1]))
            for _ in range(60):
                stack.enter_context(connect(server)).sendall(HEAD[:20])
            assert publication.publish(volume, candidate, {}, keep=5) == number
            time.sleep(2)
            lost += answer_over(earlier) != "200"
        resource.prlimit(process, resource.RLIMIT_NOFILE, limits)
        server.wait(lambda: server.post(PREDICT, BODY)[0] == 200, "answering again")
        server.wait(lambda: server.post(PREDICT, BODY)[1]["model_version"] == str(number), "on the new version")  # noqa: B023
    record_property("times", times)
    record_property("lost", lost)
    assert lost == 0 and server.process.poll() is None
