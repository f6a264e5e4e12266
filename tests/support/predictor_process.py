"""A predictor as a real process on loopback, for tests."""

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.project import SOURCE

SERVE = SOURCE / "serve.py"
PREDICT = "/v1/models/flower-sample:predict"
INFER = "/v2/models/flower-sample/infer"
READY = "/v2/models/flower-sample/ready"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Predictor:
    """A running predictor; the constructor waits until it is ready."""

    def __init__(self, volume: object, log: Path, *options: object) -> None:
        self.http_port, self.grpc_port, self.log = free_port(), free_port(), log
        ports = ["--http-port", self.http_port, "--grpc-port", self.grpc_port]
        command = [sys.executable, SERVE, "--volume", volume, *ports, "--poll-seconds", 0.2, *options]
        with log.open("w") as output:
            self.process = subprocess.Popen(list(map(str, command)), stdout=output, stderr=output, env=os.environ)
        self.wait(lambda: self.get("/v2/health/ready")[0] == 200, "ready")

    @property
    def page(self) -> str:
        """The address of the page."""
        return f"http://127.0.0.1:{self.http_port}/"

    def wait(self, condition: Any, state: str, seconds: float = 60) -> None:
        """Wait until `condition()` is true; a failed connection counts as false."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                if condition():
                    return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        raise AssertionError(f"not {state} within {seconds} s:\n{self.log.read_text()}")

    def request(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=30)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def get(self, path: str) -> tuple[int, Any]:
        status, headers, content = self.request("GET", path)
        return status, json.loads(content) if headers["content-type"] == "application/json" else content.decode()

    def post(self, path: str, body: Any, **headers: str) -> tuple[int, Any]:
        """Send bytes, or a document as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, _, answer = self.request("POST", path, content, **headers)
        return status, json.loads(answer)

    def metric(self, sample: str) -> float:
        """Return a sample of /metrics, such as `predictor_requests_in_flight`, or 0 if it is absent."""
        lines = [line for line in self.get("/metrics")[1].splitlines() if line.startswith(f"{sample} ")]
        return float(lines[0].rsplit(" ", 1)[1]) if lines else 0.0

    def events(self) -> list[dict[str, Any]]:
        """Return the events in the log."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def listens(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.http_port)) == 0


@contextmanager
def predictor(volume: object, log: Path, *options: object) -> Iterator[Predictor]:
    running = Predictor(volume, log, *options)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()
