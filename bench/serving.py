"""Compare the predictor with an empty KServe predictor, side by side on loopback.

    python bench/serving.py --volume ./trained_model

Needs `hey` on the PATH and a published model. In each repetition both servers are measured. Prints a table and writes
bench/results/serving.json.
"""

import argparse
import http.client
import json
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import this_machine

from distml.publishing import versions
from distml.step.volume import Volume

HERE = Path(__file__).resolve().parent
SERVE = HERE.parent / "src" / "serve.py"
PREDICT, INFER = "/v1/models/flower-sample:predict", "/v2/models/flower-sample/infer"
IMAGES_AT_ONCE = 64


@dataclass(frozen=True)
class Server:
    """A running server and the seconds from its start until it was ready."""

    process: subprocess.Popen
    port: int
    seconds_to_ready: float

    def memory_mib(self) -> float:
        return first_number(r"VmRSS:\s+(\d+)", Path(f"/proc/{self.process.pid}/status").read_text()) / 1024

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)


def main(args: argparse.Namespace) -> None:
    hey = shutil.which("hey")
    if hey is None:
        sys.exit(
            "bench/serving.py: hey is not on the PATH; install it: `brew install hey`, or"
            " `go install github.com/rakyll/hey@latest` and add `$(go env GOPATH)/bin` to the PATH"
        )
    version = newest_version(args.volume)
    with tempfile.TemporaryDirectory() as folder:
        requests = write_requests(Path(folder))
        starts: dict[str, list[float]] = {name: [] for name in ("predictor", "empty")}
        for _ in range(args.starts):
            for name in starts:
                server = start(name, args.volume)
                starts[name].append(server.seconds_to_ready)
                server.stop()
        servers = {name: start(name, args.volume) for name in starts}
        try:
            figures = [measure(hey, servers, requests, version, args, number) for number in range(args.repetitions)]
            memory = {"after the measurements": servers["predictor"].memory_mib()}
            for sent in range(0, args.memory_requests, 10_000):
                count = min(10_000, args.memory_requests - sent)
                load(hey, servers["predictor"].port, requests["image_bytes"], count, 5)
                memory[f"after {sent + count:,} more requests"] = servers["predictor"].memory_mib()
        finally:
            for server in servers.values():
                server.stop()
    report(figures, starts, memory, args)


def newest_version(volume: Path) -> Path:
    version = versions.current(Volume(volume))
    if version is None:
        sys.exit(f"bench/serving.py: nothing is published in {volume}; run `make run` first")
    return version


def write_requests(folder: Path) -> dict[str, list[str]]:
    """Write the request bodies to files; return hey's arguments for each: the path on the server, then options."""
    images = np.random.default_rng(1).integers(0, 256, (IMAGES_AT_ONCE, 28, 28, 1), np.uint8)
    described = {"name": "images", "datatype": "UINT8", "shape": list(images.shape)}
    tensor = {**described, "parameters": {"binary_data_size": images.nbytes}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    bodies = {
        "image_bytes": (HERE.parent / "inference-input.json").read_bytes(),
        "array": json.dumps({"instances": [images[0, ..., 0].tolist()]}).encode(),
        "binary": head + images.tobytes(),
    }
    requests = {}
    for name, body in bodies.items():
        (folder / name).write_bytes(body)
        v2 = ["-T", "application/octet-stream", "-H", f"Inference-Header-Content-Length: {len(head)}"]
        options = v2 if name == "binary" else ["-T", "application/json"]
        requests[name] = [INFER if name == "binary" else PREDICT, "-D", str(folder / name), *options]
    return requests


def start(name: str, volume: Path) -> Server:
    """Start a server and wait until its model is ready."""
    http_port, grpc_port = free_port(), free_port()
    command = [SERVE, "--volume", volume, "--http-port", http_port, "--grpc-port", grpc_port, "--drain-seconds", 0.1]
    if name == "empty":
        command = [HERE / "predictors" / "empty_predictor.py", "--http_port", http_port, "--grpc_port", grpc_port]
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not is_ready(http_port):
        if process.poll() is not None or time.perf_counter() - started > 60:
            process.kill()
            sys.exit(f"bench/serving.py: {' '.join(map(str, command))} did not become ready; run it by hand to see why")
        time.sleep(0.02)
    return Server(process, http_port, time.perf_counter() - started)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/v2/models/flower-sample/ready")
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def measure(
    hey: str, servers: dict[str, Server], requests: dict, version: Path, args: argparse.Namespace, repetition: int
) -> dict[str, float]:
    """Measure everything once; return requests/s, images/s and 99th percentiles in ms by the name of the figure."""
    figures: dict[str, float] = {}
    for body in ("image_bytes", "array"):
        for clients in (5, 64):
            # The server that goes first changes with each repetition.
            for name in list(servers)[:: 1 if repetition % 2 else -1]:
                rate, p99 = load(hey, servers[name].port, requests[body], args.requests, clients)
                figures[f"{name}, {body}, -c {clients}: requests/s"] = rate
                figures[f"{name}, {body}, -c {clients}: p99 ms"] = p99
    rate, _ = load(hey, servers["predictor"].port, requests["binary"], max(100, args.requests // 10), 2)
    figures["predictor, 64 images by V2 binary: images/s"] = rate * IMAGES_AT_ONCE
    bare = subprocess.run(
        [sys.executable, HERE / "predictors" / "bare_engine.py", version, str(IMAGES_AT_ONCE)],
        check=True,
        capture_output=True,
    )
    figures["bare engine in a loop, 64 images: images/s"] = json.loads(bare.stdout)["images_per_second"]
    for name, value in figures.items():
        print(f"repetition {repetition + 1}: {name}: {value:,.1f}", flush=True)
    return figures


def load(hey: str, port: int, request: list[str], count: int, clients: int) -> tuple[float, float]:
    """Send `count` requests over `clients` connections; return requests/s and the 99th percentile in ms."""
    path, *options = request
    command = [hey, "-n", str(count), "-c", str(clients), "-m", "POST", *options, f"http://127.0.0.1:{port}{path}"]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout
    if re.findall(r"\[(\d+)\]\s+\d+ responses", output) != ["200"]:
        sys.exit(f"bench/serving.py: expected status 200 for every request; hey printed:\n{output}")
    rate, slowest = r"Requests/sec:\s+([\d.]+)", r"99%+ in ([\d.]+) secs"
    return first_number(rate, output), 1000 * first_number(slowest, output)


def first_number(pattern: str, text: str) -> float:
    """Return the number in the first match of `pattern`, which has one group."""
    found = re.search(pattern, text)
    if not found:
        sys.exit(f"bench/serving.py: expected a match of {pattern} in:\n{text}")
    return float(found[1])


def report(figures: list[dict[str, float]], starts: dict, memory: dict, args: argparse.Namespace) -> None:
    median = {name: statistics.median(repetition[name] for repetition in figures) for name in figures[0]}
    median |= {f"{name}, start to ready: s": statistics.median(seconds) for name, seconds in starts.items()}

    def ratio(over: str, under: str, target: str) -> dict:
        return {"name": f"{over} / {under}", "value": round(median[over] / median[under], 3), "target": target}

    ratios = []
    for body in ("image_bytes", "array"):
        ours, empty = f"predictor, {body}, -c 5", f"empty, {body}, -c 5"
        ratios.append(ratio(f"{ours}: requests/s", f"{empty}: requests/s", "at least 0.80"))
        ratios.append(ratio(f"{ours}: p99 ms", f"{empty}: p99 ms", "at most 2"))
        ratios.append(ratio(f"predictor, {body}, -c 64: requests/s", f"{ours}: requests/s", "at least 1"))
    by_binary, bare = "predictor, 64 images by V2 binary: images/s", "bare engine in a loop, 64 images: images/s"
    ratios.append(ratio(by_binary, bare, "at least 0.5"))
    ratios.append(ratio("predictor, start to ready: s", "empty, start to ready: s", "at most 1.4"))
    content = {
        "machine": this_machine.description(),
        "repetitions": args.repetitions,
        "medians": {name: round(value, 3) for name, value in median.items()},
        "ratios": ratios,
        "resident_memory_mib": {"values": {k: round(v, 1) for k, v in memory.items()}, "target": "at most 250"},
    }
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / "serving.json").write_text(json.dumps(content, indent=2) + "\n")
    for name, value in median.items():
        print(f"{name:60} {value:12,.2f}")
    for line in ratios:
        print(f"{line['name']:110} {line['value']:6.2f}   target: {line['target']}")
    for when, value in memory.items():
        print(f"resident memory {when}: {value:.0f} MiB   target: at most 250")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--volume", type=Path, default=Path("./trained_model"), help="volume with a published model")
    parser.add_argument("--repetitions", type=int, default=5, help="repetitions of every measurement")
    parser.add_argument("--requests", type=int, default=3000, help="requests of one image per measurement")
    parser.add_argument("--starts", type=int, default=3, help="measured starts of each server")
    parser.add_argument("--memory-requests", type=int, default=50_000, help="sent afterwards, to see if memory grows")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main(parse_args())
