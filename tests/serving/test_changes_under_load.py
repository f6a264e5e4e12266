"""A new version, a damaged version, and SIGTERM, while requests keep arriving."""

import json
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from distml.model import manifest
from distml.publishing.versions.version_files import GOLDEN, LITE_MODEL
from distml.step.volume import Volume
from support.load import BODY, Load
from support.predictor_process import PREDICT, READY, Predictor, predictor


@pytest.fixture
def server(served: Volume, tmp_path: Path) -> Iterator[Predictor]:
    with predictor(served, tmp_path / "log", "--drain-seconds", 3) as running:
        yield running


def publish(volume: Volume, number: int, change: Callable[[Path], None] = lambda work: None) -> None:
    """Copy version 1, apply `change`, write a manifest that fits, and rename the copy to `number`."""
    work = volume.versions / f".{number}"
    shutil.copytree(volume.version(1), work)
    change(work)
    facts = json.loads((work / "manifest.json").read_text())
    manifest.write(work, {**facts, "version": number})
    work.rename(volume.version(number))


def version_of(server: Predictor) -> str:
    return server.post(PREDICT, BODY)[1]["model_version"]


def test_a_new_version_takes_over_without_a_dropped_request(server: Predictor, served: Volume) -> None:
    with Load(server) as load:
        load.wait_for(20)
        publish(served, 2)
        server.wait(lambda: version_of(server) == "2", "taken up")
        load.wait_for(20)
    assert load.outcomes.keys() == {(200, "1"), (200, "2")}
    assert [event["event"] for event in server.events()][-2:] == ["version taken up", "release"]


def test_removing_the_newest_version_rolls_back_to_the_one_before(server: Predictor, served: Volume) -> None:
    publish(served, 2)
    server.wait(lambda: version_of(server) == "2", "taken up")
    shutil.rmtree(served.version(2))
    server.wait(lambda: version_of(server) == "1", "rolled back")


def damage(work: Path) -> None:
    content = bytearray((work / LITE_MODEL).read_bytes())
    content[len(content) // 2] ^= 255
    (work / LITE_MODEL).write_bytes(content)


def change_golden_answer(work: Path) -> None:
    golden = json.loads((work / GOLDEN).read_text())
    golden["probabilities"] = [row[::-1] for row in golden["probabilities"]]
    (work / GOLDEN).write_text(json.dumps(golden))


def break_model(work: Path) -> None:
    (work / LITE_MODEL).write_bytes(b"not a model")


@pytest.mark.parametrize("change", [change_golden_answer, break_model])
def test_a_version_that_fails_its_golden_request_is_refused(
    server: Predictor, served: Volume, change: Callable[[Path], None]
) -> None:
    publish(served, 2, change)
    server.wait(lambda: server.metric("predictor_versions_refused_total") == 1, "refused")
    assert version_of(server) == "1"
    (refused,) = [event for event in server.events() if event["event"] == "version refused"]
    assert refused["version"] == 2 and "golden request" in refused["reason"]


def test_a_damaged_version_is_refused_once_and_the_old_one_answers(server: Predictor, served: Volume) -> None:
    publish(served, 2)
    server.wait(lambda: version_of(server) == "2", "taken up")
    shutil.copytree(served.version(1), served.versions / ".3")
    damage(served.versions / ".3")
    (served.versions / ".3").rename(served.version(3))
    server.wait(lambda: server.metric("predictor_versions_refused_total") == 1, "refused")
    time.sleep(1)
    assert version_of(server) == "2"
    assert server.metric("predictor_versions_refused_total") == 1
    (refused,) = [event for event in server.events() if event["event"] == "version refused"]
    assert refused["version"] == 3 and "is damaged" in refused["reason"]


def test_a_starting_predictor_skips_a_damaged_newest_version(served: Volume, tmp_path: Path) -> None:
    shutil.copytree(served.version(1), served.version(2))
    damage(served.version(2))
    with predictor(served, tmp_path / "log") as server:
        assert version_of(server) == "1"


def test_sigterm_makes_the_predictor_drain_and_exit_with_0(server: Predictor) -> None:
    server.process.terminate()
    server.wait(lambda: server.get(READY)[0] == 503, "not ready")
    assert server.get("/v2/health/ready")[0] == 503
    assert server.post(PREDICT, BODY)[0] == 200
    assert server.process.wait(timeout=60) == 0
    assert [event["event"] for event in server.events()][-2:] == ["draining", "stopping"]


def test_a_draining_predictor_drops_no_request(served: Volume, tmp_path: Path) -> None:
    with predictor(served, tmp_path / "log", "--drain-seconds", 600) as server, Load(server) as load:
        load.wait_for(20)
        server.process.terminate()
        server.wait(lambda: server.get(READY)[0] == 503, "not ready")
        load.wait_for(20)
    assert load.outcomes.keys() == {(200, "1")}


def test_a_request_in_progress_at_shutdown_gets_its_answer(server: Predictor) -> None:
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=20) as sender:
        sender.sendall(head + BODY[:100])
        server.process.terminate()
        server.wait(lambda: not server.listens(), "closed to others")
        sender.sendall(BODY[100:])
        assert sender.recv(1000).startswith(b"HTTP/1.1 200 OK")
    assert server.process.wait(timeout=60) == 0
