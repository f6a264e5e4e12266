"""The servers as processes: how each is started and stopped, when it is ready, and its memory."""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from predictors import environments, image_request
from predictors.peers import PEERS

from distml.model import manifest
from distml.publishing.versions.version_files import LITE_MODEL
from distml.step import network

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PORTS = ("port", "grpc_port", "metrics_port")
SECONDS_TO_START = 120


class Failed(Exception):
    """A server did not answer as it should; the message is one sentence, or more with the output of hey."""


@dataclass(frozen=True)
class Launch:
    """The command and the environment variables that start a server; `running` fills in {port} and {folder}."""

    command: list[str]
    variables: dict[str, str] = field(default_factory=dict)
    request: str = "image_bytes"


@dataclass(frozen=True)
class Request:
    """A request as hey sends it."""

    path: str
    body: Path
    headers: dict[str, str]


@dataclass(frozen=True)
class Server:
    """A running server, the seconds from its start to its first answer, and that answer."""

    process: psutil.Process
    port: int
    seconds_to_answer: float
    answer: bytes

    def memory_mib(self) -> float:
        """Return the memory of all its processes: their PSS, in which shared pages count once."""
        return sum(map(pss, tree(self.process))) / 2**20


def ours(volume: Path) -> dict[str, Launch]:
    """Return how the predictor and the empty predictor start."""
    serve = [sys.executable, str(ROOT / "src" / "serve.py"), "--volume", str(volume), "--drain-seconds", "0.1"]
    empty = [sys.executable, str(HERE / "empty_predictor.py")]
    return {
        "predictor": Launch([*serve, "--http-port", "{port}", "--grpc-port", "{grpc_port}"]),
        "empty": Launch([*empty, "--http_port", "{port}", "--grpc_port", "{grpc_port}"]),
    }


def forms_of(name: str, version: Path) -> dict[str, Launch]:
    """Return how each form of a peer starts; nothing if its packages cannot be installed."""
    peer = PEERS[name]
    programs = environments.programs_of(peer.packages)
    if programs is None:
        return {}
    shared = {
        **peer.variables,
        "PYTHONPATH": f"{HERE}:{ROOT / 'src'}",
        image_request.MODEL: str(version / LITE_MODEL),
        image_request.CLASS_NAMES: "|".join(manifest.read(version)["class_names"]),
    }
    command = [word.replace("{bin}", str(programs)) for word in peer.command]
    return {form: Launch(command, {**shared, **settings}, peer.request) for form, settings in peer.forms.items()}


@contextlib.contextmanager
def running(launch: Launch, request: Request) -> Iterator[Server]:
    """Start a server in an empty folder, wait until it answers `request` with 200, and stop it at the end.

    Raises:
        Failed: the server ends before its first answer, or takes too long.
    """
    ports = [address.rpartition(":")[2] for address in network.free_addresses(len(PORTS))]
    values = dict(zip(PORTS, ports, strict=True))
    with tempfile.TemporaryDirectory() as folder:
        values["folder"] = folder
        command = [filled(word, values) for word in launch.command]
        variables = {name: filled(value, values) for name, value in launch.variables.items()}
        started = time.perf_counter()
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = psutil.Popen(command, cwd=folder, env={**os.environ, **variables}, **quiet)
        try:
            while (answer := answer_of(int(values["port"]), request)) is None:
                if process.poll() is not None or time.perf_counter() - started > SECONDS_TO_START:
                    shown = " ".join([*(f"{name}='{value}'" for name, value in variables.items()), *command])
                    raise Failed(f"a server did not answer; run it by hand to see why: {shown}")
                time.sleep(0.02)
            yield Server(process, int(values["port"]), time.perf_counter() - started, answer)
        finally:
            stop(process)


def filled(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace("{" + name + "}", value)
    return text


def answer_of(port: int, request: Request) -> bytes | None:
    """Send a request; return the body of an answer with status 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", request.path, request.body.read_bytes(), request.headers)
        response = connection.getresponse()
        body = response.read()
        return body if response.status == http.HTTPStatus.OK else None
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def tree(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.NoSuchProcess):
        return [process, *process.children(recursive=True)]
    return []


def pss(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.memory_full_info().pss
    return 0  # it has ended since it was listed


def stop(process: psutil.Popen) -> None:
    """Ask a server to end; kill what is left of its processes after 15 seconds."""
    processes = tree(process)
    process.terminate()
    _, left = psutil.wait_procs(processes, timeout=15)
    for survivor in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            survivor.kill()
    psutil.wait_procs(left, timeout=15)


def classification(answer: bytes) -> tuple[int, list[float]]:
    """Return the class index and the probabilities in an answer by V1, by V2, or by BentoML, which returns a list."""
    document = json.loads(answer)
    if isinstance(document, dict) and "outputs" in document:
        data = {output["name"]: output["data"] for output in document["outputs"]}
        return data["class_index"][0], data["probabilities"]
    (prediction,) = document if isinstance(document, list) else document["predictions"]
    return prediction["class_index"], prediction["probabilities"]
