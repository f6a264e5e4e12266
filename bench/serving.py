"""Compare the predictor with an empty KServe predictor and with other servers, side by side on loopback.

    python bench/serving.py --volume ./trained_model

Needs `hey` on the PATH and a published model. First every form of each peer is measured once, and the fastest is
chosen. Then each repetition starts, measures and stops one server after another. Prints tables and writes
bench/results/serving.json.
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import this_machine
from predictors import peers, report, servers
from predictors.peers import PEERS
from predictors.servers import Failed, Launch, Request, Server

from distml.publishing.versions import publication
from distml.publishing.versions.version_files import AGREEMENT
from distml.step.volume import Volume

HERE = Path(__file__).resolve().parent
PREDICT, INFER = "/v1/models/flower-sample:predict", "/v2/models/flower-sample/infer"
IMAGES_AT_ONCE = 64
CLIENTS = (5, 64)
WARM_UP = 300
Figures = dict[str, float]


def main(args: argparse.Namespace) -> None:
    hey = shutil.which("hey")
    if hey is None:
        sys.exit(
            "bench/serving.py: hey is not on the PATH; install it: `brew install hey`, or"
            " `go install github.com/rakyll/hey@latest` and add `$(go env GOPATH)/bin` to the PATH"
        )
    volume = args.volume.resolve()  # the servers run in folders of their own
    version = newest_version(volume)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(hey, write_requests(Path(folder)), version, args.requests)
        launches = servers.ours(volume)
        with servers.running(launches["predictor"], bench.requests["image_bytes"]) as server:
            expected = server.answer
        forms = {name: bench.try_forms(name, expected) for name in args.peers}
        forms = {name: tried for name, tried in forms.items() if tried}
        chosen = {name: max(tried, key=lambda form: tried[form][report.RATE]) for name, tried in forms.items()}
        launches |= {name: servers.forms_of(name, version)[form] for name, form in chosen.items()}
        visits: dict[str, list[Figures]] = {name: [] for name in launches}
        for repetition in range(args.repetitions):
            # The server that goes first changes with each repetition.
            first = repetition % len(launches)
            for name in [*launches][first:] + [*launches][:first]:
                visits[name].append(bench.visit(name, launches[name]))
                print(f"repetition {repetition + 1}: {name}: {shown(visits[name][-1])}", flush=True)
        growth = bench.memory_growth(launches["predictor"], args.memory_requests)
    content = {
        "machine": this_machine.description(),
        "repetitions": args.repetitions,
        "medians": {name: medians(figures) for name, figures in visits.items()},
        "forms": {name: {"chosen": chosen[name], "tried": tried} for name, tried in forms.items()},
        "memory_of_the_predictor_mib": growth,
    }
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "serving.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    print(report.tables(content))


def newest_version(volume: Path) -> Path:
    version = publication.current(Volume(volume))
    if version is None:
        sys.exit(f"bench/serving.py: nothing is published in {volume}; run `make run` first")
    return version


def write_requests(folder: Path) -> dict[str, Request]:
    """Write the request bodies to files; return the requests."""
    images = np.random.default_rng(1).integers(0, 256, (IMAGES_AT_ONCE, 28, 28, 1), np.uint8)
    described = {"name": "images", "datatype": "UINT8", "shape": list(images.shape)}
    tensor = {**described, "parameters": {"binary_data_size": images.nbytes}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    v1 = (HERE.parent / "inference-input.json").read_bytes()
    file = {"name": "image_bytes", "datatype": "BYTES", "shape": [1], "parameters": {"content_type": "base64"}}
    v2 = {"inputs": [{**file, "data": [json.loads(v1)["instances"][0]["image_bytes"]["b64"]]}]}
    as_json = {"Content-Type": "application/json"}
    as_binary = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    bodies = {
        "image_bytes": (PREDICT, v1, as_json),
        "image_bytes by V2": (INFER, json.dumps(v2).encode(), as_json),
        "array": (PREDICT, json.dumps({"instances": [images[0, ..., 0].tolist()]}).encode(), as_json),
        "binary": (INFER, head + images.tobytes(), as_binary),
    }
    requests = {}
    for name, (path, body, headers) in bodies.items():
        (folder / name).write_bytes(body)
        requests[name] = Request(path, folder / name, headers)
    return requests


class Bench:
    """The measurements of one server at a time."""

    def __init__(self, hey: str, requests: dict[str, Request], version: Path, count: int):
        self.requests = requests
        self._hey, self._version, self._count = hey, version, count

    def try_forms(self, name: str, expected: bytes) -> dict[str, Figures]:
        """Measure each form of a peer once, and compare its answer with the predictor's; leave out those that fail."""
        tried = {}
        for form, launch in servers.forms_of(name, self._version).items():
            try:
                with servers.running(launch, self.requests[launch.request]) as server:
                    check_answer(server.answer, expected)
                    tried[form] = self._image_files(server, launch)
                print(f"{name}, {form}: {shown(tried[form])}", flush=True)
            except Failed as failure:
                print(f"{name}, {form}: left out: {failure}", flush=True)
        return tried

    def visit(self, name: str, launch: Launch) -> Figures:
        """Start a server, measure it and stop it."""
        with servers.running(launch, self.requests[launch.request]) as server:
            figures = {report.START: server.seconds_to_answer, **self._image_files(server, launch)}
            figures[report.MEMORY] = server.memory_mib()
            if name in ("predictor", "empty"):
                figures |= self._loads(server, "array")
            if name == "predictor":
                rate, _ = self._load(server, "binary", max(100, self._count // 10), 2)
                figures[report.BY_BINARY] = rate * IMAGES_AT_ONCE
        if name == "predictor":
            figures[report.BARE] = self._bare_engine()
        return figures

    def memory_growth(self, launch: Launch, count: int) -> Figures:
        """Return the predictor's memory in MiB by the number of requests that it has answered."""
        growth = {}
        with servers.running(launch, self.requests[launch.request]) as server:
            for sent in range(0, count, 10_000):
                self._load(server, launch.request, min(10_000, count - sent), 5)
                growth[f"{min(sent + 10_000, count):,}"] = round(server.memory_mib(), 1)
        return growth

    def _image_files(self, server: Server, launch: Launch) -> Figures:
        return {
            name.replace(launch.request, "image_bytes"): value
            for name, value in self._loads(server, launch.request).items()
        }

    def _loads(self, server: Server, request: str) -> Figures:
        figures = {}
        for clients in CLIENTS:
            self._load(server, request, WARM_UP, clients)
            rate, p99 = self._load(server, request, self._count, clients)
            figures[f"{request}, -c {clients}: requests/s"] = rate
            figures[f"{request}, -c {clients}: p99 ms"] = p99
        return figures

    def _load(self, server: Server, request: str, count: int, clients: int) -> tuple[float, float]:
        """Send `count` requests over `clients` connections; return requests/s and the 99th percentile in ms."""
        sent = self.requests[request]
        headers = [f"{name}: {value}" for name, value in sent.headers.items() if name != "Content-Type"]
        options = ["-m", "POST", "-T", sent.headers["Content-Type"], "-D", str(sent.body)]
        options += [word for header in headers for word in ("-H", header)]
        url = f"http://127.0.0.1:{server.port}{sent.path}"
        command = [self._hey, "-n", str(count), "-c", str(clients), *options, url]
        output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout
        if re.findall(r"\[(\d+)\]\s+\d+ responses", output) != ["200"] or "Error distribution" in output:
            raise Failed(f"expected status 200 for every request; hey printed:\n{output}")
        return first_number(r"Requests/sec:\s+([\d.]+)", output), 1000 * first_number(r"99%+ in ([\d.]+) secs", output)

    def _bare_engine(self) -> float:
        script = HERE / "predictors" / "bare_engine.py"
        command = [sys.executable, str(script), str(self._version), str(IMAGES_AT_ONCE)]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["images_per_second"]


def check_answer(answer: bytes, expected: bytes) -> None:
    """Raise Failed if the class or a probability differs from the predictor's."""
    (its_class, its), (our_class, ours) = map(servers.classification, (answer, expected))
    if its_class != our_class or not np.allclose(its, ours, rtol=0, atol=AGREEMENT):
        raise Failed(f"expected the predictor's answer, {expected.decode()}, but got {answer.decode()}")


def first_number(pattern: str, text: str) -> float:
    """Return the number in the first match of `pattern`, which has one group."""
    found = re.search(pattern, text)
    if not found:
        sys.exit(f"bench/serving.py: expected a match of {pattern} in:\n{text}")
    return float(found[1])


def medians(visits: list[Figures]) -> Figures:
    return {name: round(statistics.median(visit[name] for visit in visits), 3) for name in visits[0]}


def shown(figures: Figures) -> str:
    return ", ".join(f"{name} {value:,.1f}" for name, value in figures.items())


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--volume", type=Path, default=Path("./trained_model"), help="volume with a published model")
    parser.add_argument("--peers", type=peers.names, default=[*PEERS], help=f"none, or some of {', '.join(PEERS)}")
    parser.add_argument("--repetitions", type=int, default=5, help="visits to each server")
    parser.add_argument("--requests", type=int, default=3000, help="requests of one image per measurement")
    parser.add_argument("--memory-requests", type=int, default=50_000, help="sent afterwards, to see if memory grows")
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        main(parse_args())
    except Failed as failure:
        sys.exit(f"bench/serving.py: {failure}")
