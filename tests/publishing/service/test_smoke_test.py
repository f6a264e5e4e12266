"""The smoke test against a local server that answers as our predictor or as TensorFlow Serving does."""

import contextlib
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
from distml.publishing.service import smoke_test
from distml.step import network
from distml.step.volume import Volume
from support.local_server import running
from support.network import DEAD_PROXY, needs_ipv6
from support.project import run_script

PREDICTOR = {"name": "flower-sample", "ready": True}
TENSORFLOW_SERVING = {
    "model_version_status": [
        {"version": "3", "state": "AVAILABLE", "status": {}},
        {"version": "2", "state": "UNLOADING", "status": {}},
    ]
}
UNIFORM = [0.1] * 10


class Service(ThreadingHTTPServer):
    """An inference service with fixed answers; its metrics name the `digests` in turn and then repeat the last."""

    host = "127.0.0.1"

    def __init__(self, status: dict, digests: list[str], prediction: object) -> None:
        super().__init__((self.host, 0), Answer)
        self.status, self.digests, self.prediction = status, digests, prediction
        self.url = f"http://{network.format_address(self.host, self.server_address[1])}"
        self.bodies: list[bytes] = []
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
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.reply(json.dumps({"predictions": [self.server.prediction]}))

    def reply(self, text: str) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def serve() -> Iterator[Callable[..., Service]]:
    with contextlib.ExitStack() as stack:
        yield lambda *answers: stack.enter_context(running(Service(*answers)))


@pytest.fixture
def new_digest(tmp_path: Path) -> str:
    """Return the digest of version 3 on a volume that holds versions 2 and 3."""
    for number in (2, 3):
        folder = Volume(tmp_path).version(number)
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_text(f"model {number}")
        digest = manifest.write(folder, {})["digest"]
    return digest


def run_smoke_test(
    url: str, volume: object, version: int = 3, timeout: int = 1, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    options = ("--url", url, "--volume", volume, "--version", version, "--timeout", timeout)
    return run_script("pipeline_admin.py", "smoke-test", *options, **(environment or {}))


def test_the_smoke_test_waits_until_every_answer_has_the_new_digest(
    serve: Callable[..., Service], new_digest: str, tmp_path: Path
) -> None:
    service = serve(PREDICTOR, ["old", new_digest, "old", new_digest], {"class_name": "Bag", "probabilities": UNIFORM})
    ended = run_smoke_test(service.url, tmp_path, timeout=30)
    assert ended.returncode == 0, ended.stderr
    assert f"serves version 3, digest {new_digest[:12]}" in ended.stdout
    assert "image_bytes" in json.loads(service.bodies[0])["instances"][0]


def test_the_smoke_test_fails_while_an_older_version_answers(
    serve: Callable[..., Service], new_digest: str, tmp_path: Path
) -> None:
    ended = run_smoke_test(serve(PREDICTOR, ["old"], {"probabilities": UNIFORM}).url, tmp_path)
    assert ended.returncode == 1
    assert f"does not serve version 3, digest {new_digest[:12]}" in ended.stderr
    assert "its last answer: version 3, digest old" in ended.stderr


def test_the_smoke_test_compares_tensorflow_servings_version_number(
    serve: Callable[..., Service], new_digest: str, tmp_path: Path
) -> None:
    assert run_smoke_test(serve(TENSORFLOW_SERVING, ["-"], UNIFORM).url, tmp_path).returncode == 0
    assert run_smoke_test(serve(TENSORFLOW_SERVING, ["-"], UNIFORM).url, tmp_path, version=2).returncode == 1


def test_the_smoke_test_compares_digests_if_a_predictor_lists_versions(
    serve: Callable[..., Service], new_digest: str, tmp_path: Path
) -> None:
    status = PREDICTOR | TENSORFLOW_SERVING
    assert smoke_test.ask_version(serve(status, [new_digest], None).url, "flower-sample").matches(3, new_digest)
    ended = run_smoke_test(serve(status, ["old"], {"probabilities": UNIFORM}).url, tmp_path)
    assert ended.returncode == 1
    assert "its last answer: version 3, digest old" in ended.stderr


def test_the_model_option_counts_only_if_the_service_lists_none(
    serve: Callable[..., Service], new_digest: str, tmp_path: Path
) -> None:
    predictor, tensorflow_serving = (
        serve(PREDICTOR | {"models": ["flower-sample"]}, [new_digest], {"probabilities": UNIFORM}),
        serve(TENSORFLOW_SERVING, ["-"], UNIFORM),
    )
    for service in (predictor, tensorflow_serving):
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
    assert set(predictor.paths) == {"/v1/models", "/v1/models/flower-sample", "/metrics"}
    assert set(tensorflow_serving.paths) == {"/v1/models", "/v1/models/roses"}


def test_the_smoke_test_fails_on_too_few_probabilities(
    serve: Callable[..., Service], new_digest: str, tmp_path: Path
) -> None:
    ended = run_smoke_test(serve(PREDICTOR, [new_digest], {"probabilities": [0.5]}).url, tmp_path)
    assert ended.returncode == 1
    assert "[0.5] are not 10 probabilities" in ended.stderr


def test_the_smoke_test_fails_when_no_service_answers(new_digest: str, tmp_path: Path) -> None:
    ended = run_smoke_test("http://127.0.0.1:9", tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.startswith("pipeline_admin.py: http://127.0.0.1:9 does not serve version 3")


def test_the_smoke_test_bypasses_the_environments_proxy(
    serve: Callable[..., Service], new_digest: str, tmp_path: Path
) -> None:
    service = serve(PREDICTOR, [new_digest], {"probabilities": UNIFORM})
    assert run_smoke_test(service.url, tmp_path, environment=DEAD_PROXY).returncode == 0


@needs_ipv6
def test_the_smoke_test_connects_over_ipv6(
    serve: Callable[..., Service], new_digest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Service, "address_family", socket.AF_INET6)
    monkeypatch.setattr(Service, "host", "::1")
    service = serve(PREDICTOR, [new_digest], {"probabilities": UNIFORM})
    assert run_smoke_test(service.url, tmp_path).returncode == 0
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
def test_an_invalid_service_url_is_refused_in_one_line(capsys: pytest.CaptureFixture[str], url: str) -> None:
    with pytest.raises(SystemExit) as ended:
        pipeline_admin.parse_args(["smoke-test", "--version", "1", "--url", url])
    printed = capsys.readouterr().err
    assert (ended.value.code, printed.count("\n")) == (2, 1)
    expected = "expected one without a path, such as http://host:8080 or http://[::1]:8080"
    assert f"{url!r} is not the URL of a service; {expected}" in printed


def test_an_answer_that_is_not_http_raises_an_os_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=lambda: listener.accept()[0].sendall(b"no\0 http\r\n")).start()
        with pytest.raises(OSError, match=r"the answer is not HTTP: BadStatusLine"):
            smoke_test.fetch(f"http://127.0.0.1:{listener.getsockname()[1]}")
