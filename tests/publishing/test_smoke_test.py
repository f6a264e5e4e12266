"""The smoke test against a server on loopback that answers as the two runtimes do."""

import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import pipeline_admin
from distml.model import manifest
from distml.publishing import smoke_test
from distml.step import network
from distml.step.volume import Volume
from support.network import DEAD_PROXY, needs_ipv6
from support.project import run_script

OURS = {"name": "flower-sample", "ready": True}
STOCK = {
    "model_version_status": [
        {"version": "3", "state": "AVAILABLE", "status": {}},
        {"version": "2", "state": "UNLOADING", "status": {}},
    ]
}
UNIFORM = [0.1] * 10


class Service(ThreadingHTTPServer):
    """What an inference service would say; `digests` are what its metrics name, one after the other."""

    host = "127.0.0.1"

    def __init__(self, status: dict, digests: list[str], prediction: object) -> None:
        super().__init__((self.host, 0), Answer)
        self.status, self.digests, self.prediction = status, digests, prediction
        self.url = f"http://{network.place(self.host, self.server_address[1])}"
        self.asked: list[bytes] = []
        self.paths: list[str] = []

    def metrics(self) -> str:
        digest = self.digests.pop(0) if len(self.digests) > 1 else self.digests[0]
        return f'predictor_model_info{{version="3",digest="{digest}",model="plain"}} 1.0\n'


class Answer(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        self.reply(self.server.metrics() if self.path == "/metrics" else json.dumps(self.server.status))

    def do_POST(self) -> None:
        self.server.asked.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.reply(json.dumps({"predictions": [self.server.prediction]}))

    def reply(self, text: str) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Be quiet."""


@pytest.fixture
def serve() -> Iterator[Callable[..., Service]]:
    running = []

    def start(status: dict, digests: list[str], prediction: object) -> Service:
        service = Service(status, digests, prediction)
        threading.Thread(target=service.serve_forever, daemon=True).start()
        running.append(service)
        return service

    yield start
    for service in running:
        service.shutdown()
        service.server_close()


@pytest.fixture
def new(tmp_path: Path) -> str:
    """The digest of version 3 on a volume that holds 2 and 3."""
    for number in (2, 3):
        folder = Volume(tmp_path).version(number)
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_text(f"model {number}")
        digest = manifest.write(folder, {})["digest"]
    return digest


def smoke(
    url: str, volume: object, version: int = 3, timeout: int = 1, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    options = ("--url", url, "--volume", volume, "--version", version, "--timeout", timeout)
    return run_script("pipeline_admin.py", "smoke-test", *options, **(environment or {}))


def test_it_waits_until_the_published_digest_answers_each_time(
    serve: Callable[..., Service], new: str, tmp_path: Path
) -> None:
    service = serve(OURS, ["old", new, "old", new], {"class_name": "Bag", "probabilities": UNIFORM})
    asked = smoke(service.url, tmp_path, timeout=30)
    assert asked.returncode == 0, asked.stderr
    assert f"serves version 3, digest {new[:12]}" in asked.stdout
    assert "image_bytes" in json.loads(service.asked[0])["instances"][0]


def test_it_fails_with_one_line_when_an_older_model_goes_on_serving(
    serve: Callable[..., Service], new: str, tmp_path: Path
) -> None:
    asked = smoke(serve(OURS, ["old"], {"probabilities": UNIFORM}).url, tmp_path)
    assert asked.returncode == 1
    assert f"does not serve version 3, digest {new[:12]}" in asked.stderr
    assert "its last answer: version 3, digest old" in asked.stderr


def test_of_the_stock_runtime_it_compares_the_version(serve: Callable[..., Service], new: str, tmp_path: Path) -> None:
    assert smoke(serve(STOCK, ["-"], UNIFORM).url, tmp_path).returncode == 0
    assert smoke(serve(STOCK, ["-"], UNIFORM).url, tmp_path, version=2).returncode == 1


def test_a_service_that_lists_its_model_is_asked_about_that_and_another_about_the_given_one(
    serve: Callable[..., Service], new: str, tmp_path: Path
) -> None:
    ours, stock = (
        serve(OURS | {"models": ["flower-sample"]}, [new], {"probabilities": UNIFORM}),
        serve(STOCK, ["-"], UNIFORM),
    )
    for service in (ours, stock):
        args = [
            "smoke-test",
            "--url",
            service.url,
            "--volume",
            str(tmp_path),
            "--version",
            "3",
            "--model",
            "roses",
            "--timeout",
            "1",
        ]
        pipeline_admin.main(pipeline_admin.parse_args(args))
    assert set(ours.paths) == {"/v1/models", "/v1/models/flower-sample", "/metrics"}
    assert set(stock.paths) == {"/v1/models", "/v1/models/roses"}


def test_it_fails_when_the_prediction_is_none(serve: Callable[..., Service], new: str, tmp_path: Path) -> None:
    asked = smoke(serve(OURS, [new], {"probabilities": [0.5]}).url, tmp_path)
    assert asked.returncode == 1
    assert "[0.5] are not 10 probabilities" in asked.stderr


def test_it_fails_with_one_line_when_nobody_answers(new: str, tmp_path: Path) -> None:
    asked = smoke("http://127.0.0.1:9", tmp_path)
    assert asked.returncode == 1
    assert asked.stderr.startswith("pipeline_admin.py: http://127.0.0.1:9 does not serve version 3")


def test_it_asks_the_service_itself_past_any_proxy(serve: Callable[..., Service], new: str, tmp_path: Path) -> None:
    service = serve(OURS, [new], {"probabilities": UNIFORM})
    assert smoke(service.url, tmp_path, environment=DEAD_PROXY).returncode == 0


@needs_ipv6
def test_it_asks_a_service_on_ipv6(
    serve: Callable[..., Service], new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Service, "address_family", socket.AF_INET6)
    monkeypatch.setattr(Service, "host", "::1")
    service = serve(OURS, [new], {"probabilities": UNIFORM})
    assert smoke(service.url, tmp_path).returncode == 0
    assert service.url.startswith("http://[::1]:")


@pytest.mark.parametrize(
    "url",
    [
        "http://::1:8080",
        "http://[::1:8080",
        "http://a:port",
        "http://",
        "ftp://a",
        "a:8080",
        "http://a/v1",
        "http://a?x",
    ],
)
def test_a_url_that_names_no_service_is_one_line(capsys: pytest.CaptureFixture[str], url: str) -> None:
    with pytest.raises(SystemExit) as ended:
        pipeline_admin.parse_args(["smoke-test", "--version", "1", "--url", url])
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n")) == (2, 1)
    assert f"{url!r} is no URL of a service without a path; expected http://host or http://[::1]:8080" in said


def test_what_speaks_no_http_gives_no_usable_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: listener.accept()[0].sendall(b"no\0 http\r\n")).start()
        with pytest.raises(OSError, match=r"no HTTP \(BadStatusLine"):
            smoke_test.fetch(f"http://127.0.0.1:{listener.getsockname()[1]}")
