"""Measure what guarded releases cost, and offer a right version and four bad ones under load.

    python bench/releases.py --volume ./trained_model

Needs `hey` on the PATH and a published model. First an instant and a guarded predictor get the same load in turn,
outside a release. Then, for each kind of version, a guarded predictor with the default stages gets a load, and a
version of that kind. Prints tables and writes bench/results/releases.json.
"""

import argparse
import http.client
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import this_machine
from predictors import report, servers
from predictors.servers import Launch, Request, Server

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))

from distml.model import image_decoding
from distml.protocol import client
from distml.protocol.contract import MODEL_NAME
from distml.publishing.versions import publication
from distml.step.volume import Volume
from support import bad_versions

HERE = Path(__file__).resolve().parent
CLIENTS = 20
SECONDS_TO_WARM_UP, SECONDS_OF_A_TURN = 1, 3
SECONDS_BEFORE_AN_OFFER = 5
# Of a hundred requests, one has an image on which a raising version fails.
USUAL_BY_POISONED = 100
DECIDED = ("released", "rejected")
# The kinds that the check on their reference images rejects, before they answer.
UNANSWERED = ("wrong", "slow", "damaged")


def main(args: argparse.Namespace) -> None:
    hey = shutil.which("hey")
    if hey is None:
        sys.exit(
            "bench/releases.py: hey is not on the PATH; install it: `brew install hey`, or"
            " `go install github.com/rakyll/hey@latest` and add `$(go env GOPATH)/bin` to the PATH"
        )
    source = Volume(args.volume.resolve())
    base = publication.current(source)
    if base is None:
        sys.exit(f"bench/releases.py: nothing is published in {source}; run `make run` first")
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(hey, source, base, Path(folder))
        rates = bench.rates(args.turns)
        poisoned_rate = max(1, round(statistics.median(rates["guarded"]) / USUAL_BY_POISONED))
        kinds = {kind: bench.release(kind, args.seconds, poisoned_rate) for kind in bad_versions.KINDS}
    content = {
        "machine": this_machine.description(),
        "requests_per_second": rates,
        "seconds": args.seconds,
        "poisoned_per_second": poisoned_rate,
        "kinds": kinds,
    }
    (HERE / "results" / "releases.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    print(tables(content))


class Bench:
    """The measurements, each with servers and a volume of its own."""

    def __init__(self, hey: str, source: Volume, base: Path, folder: Path):
        self._hey, self._base, self._folder = hey, base, folder
        usual, poisoned = (HERE.parent / "inference-input.json").read_bytes(), poisoned_request()
        self._usual, self._poisoned = self._request("usual", usual), self._request("poisoned", poisoned)
        built = folder / "built"
        self._built = {kind: bad_versions.build(source, kind, base, built / kind) for kind in bad_versions.KINDS}

    def rates(self, turns: int) -> dict[str, list[float]]:
        """Return the requests/s of an instant and a guarded predictor, measured in turn.

        Each turn starts new ones, since one process may be some per cent faster than another; the first alternates.
        """
        rates: dict[str, list[float]] = {"instant": [], "guarded": []}
        volume = self._volume("rates")
        for turn in range(turns):
            for name in [*rates][:: 1 if turn % 2 else -1]:
                with servers.running(launch(volume, name), self._usual) as server:
                    self._rate(server, SECONDS_TO_WARM_UP)
                    rates[name].append(self._rate(server, SECONDS_OF_A_TURN))
                print(f"turn {turn + 1}: {name}: {rates[name][-1]:,.0f} requests/s", flush=True)
        return rates

    def _rate(self, server: Server, seconds: int) -> float:
        output, _ = self._load(server, self._usual, seconds).communicate()
        if statuses_of(output).keys() != {"200"}:
            sys.exit(f"bench/releases.py: expected status 200 for every request; hey printed:\n{output}")
        return round(float(re.findall(r"Requests/sec:\s+([\d.]+)", output)[0]), 1)

    def release(self, kind: str, seconds: int, poisoned_rate: int) -> dict[str, Any]:
        """Offer a version of this kind during a load of `seconds`; return what became of it and of the requests."""
        volume = self._volume(kind)
        with servers.running(launch(volume, "guarded"), self._usual) as server:
            loads = [self._load(server, self._usual, seconds)]
            if kind == "raising":
                loads.append(self._load(server, self._poisoned, seconds, "-c", "1", "-q", str(poisoned_rate)))
            time.sleep(SECONDS_BEFORE_AN_OFFER)
            before = memory_mib(server)
            version = bad_versions.offer(volume, self._built[kind], damage=kind == "damaged")
            watched = watch(server, version, loads[0])
            watched["reason"] = watched["reason"].replace(f"{volume.versions}/", "")
            statuses = [statuses_of(load.communicate()[0]) for load in loads]
            answers = answers_by_version(server)
        found = {
            "requests": sum(sum(each.values()) for each in statuses),
            "failed": sum(count for each in statuses for status, count in each.items() if status != "200"),
            "answers_by_the_old": answers.get(int(self._base.name), 0),
            "answers_by_the_new": answers.get(version, 0),
            "memory_mib_before": before,
            **watched,
        }
        print(f"{kind}: {found}", flush=True)
        return found

    def _volume(self, name: str) -> Volume:
        """Return a new volume with the base version."""
        volume = Volume(self._folder / name)
        shutil.copytree(self._base, volume.version(int(self._base.name)))
        return volume

    def _request(self, name: str, body: bytes) -> Request:
        (self._folder / f"{name}.json").write_bytes(body)
        path = f"/v1/models/{MODEL_NAME}:predict"
        return Request(path, self._folder / f"{name}.json", {"Content-Type": "application/json"})

    def _load(self, server: Server, request: Request, seconds: int, *options: str) -> subprocess.Popen[str]:
        """Start hey for `seconds`, with `CLIENTS` connections unless the options say otherwise."""
        command = [self._hey, "-z", f"{seconds}s", "-c", str(CLIENTS), *options, "-m", "POST"]
        command += ["-T", request.headers["Content-Type"], "-D", str(request.body)]
        url = f"http://127.0.0.1:{server.port}{request.path}"
        return subprocess.Popen([*command, url], stdout=subprocess.PIPE, text=True)


def launch(volume: Volume, release: str) -> Launch:
    script = HERE / "predictors" / "counting_predictor.py"
    options = ["--volume", str(volume), "--release", release, "--drain-seconds", "0.1"]
    return Launch([sys.executable, str(script), *options, "--http-port", "{port}", "--grpc-port", "{grpc_port}"])


def poisoned_request() -> bytes:
    """Return a V1 request with a black image whose first pixel makes a raising version fail."""
    image = np.zeros((28, 28, 1), np.uint8)
    image[0, 0] = bad_versions.POISON
    return json.dumps(client.v1_request([image_decoding.png(image)])).encode()


def watch(server: Server, version: int, load: subprocess.Popen) -> dict[str, Any]:
    """Watch a release until the load ends; return the decision, when and why, and the largest memory until then."""
    offered, largest = time.monotonic(), 0.0
    decision: dict[str, Any] = {"decision": "none", "reason": "", "seconds": None}
    while load.poll() is None:
        largest = max(largest, memory_mib(server))
        releases = json.loads(get(server, f"/v1/models/{MODEL_NAME}"))["releases"]
        found = [each for each in releases if each["version"] == str(version) and each["stage"] in DECIDED]
        if found and decision["decision"] == "none":
            seconds = round(time.monotonic() - offered, 1)
            decision = {"decision": found[0]["stage"], "reason": found[0]["reason"], "seconds": seconds}
        time.sleep(0.2)
    return {**decision, "memory_mib": largest}


def get(server: Server, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def memory_mib(server: Server) -> float:
    return round(server.process.memory_info().rss / 2**20, 1)


def answers_by_version(server: Server) -> dict[int, int]:
    found = re.findall(r'^answers_total\{version="(\d+)"\} (\S+)$', get(server, "/metrics"), re.MULTILINE)
    return {int(version): int(float(count)) for version, count in found}


def statuses_of(output: str) -> dict[str, int]:
    """Return the number of requests by status, or by error, that hey printed."""
    return {status: int(count) for status, count in re.findall(r"\[(\d+)\]\s+(\d+) responses", output)} | {
        error: int(count) for count, error in re.findall(r"^\s+\[(\d+)\]\t(?!\d+ responses)(.+)$", output, re.MULTILINE)
    }


def tables(recorded: dict[str, Any]) -> str:
    """Return the tables of bench/README.md."""
    head = ["version", "requests", "failed", "answers by the old", "by the new", "decision", "after s", "memory in MiB"]
    rows = [
        [
            kind,
            *(f"{found[key]:,}" for key in ("requests", "failed", "answers_by_the_old", "answers_by_the_new")),
            found["decision"],
            "" if found["seconds"] is None else f"{found['seconds']:.1f}",
            f"{found['memory_mib']:,.0f}",
        ]
        for kind, found in recorded["kinds"].items()
    ]
    return f"{report.table(head, rows)}\n\n{targets_table(recorded)}"


def targets_table(recorded: dict[str, Any]) -> str:
    rates, kinds = recorded["requests_per_second"], recorded["kinds"]
    ratio = statistics.median(
        guarded / instant for guarded, instant in zip(rates["guarded"], rates["instant"], strict=True)
    )
    targets = [
        ("requests/s outside a release: guarded / instant", ratio, report.at_least(0.97)),
        ("largest memory in MiB", max(found["memory_mib"] for found in kinds.values()), report.at_most(300)),
        ("failed requests", sum(found["failed"] for found in kinds.values()), report.at_most(0)),
    ]
    answers = [(f"answers by the version: {kind}", kinds[kind]["answers_by_the_new"]) for kind in UNANSWERED]
    targets += [(what, value, report.at_most(0)) for what, value in answers]
    rows = [
        [what, f"{value:,.3g}", words if is_reached(value) else f"{words}, not reached"]
        for what, value, (words, is_reached) in targets
    ]
    return report.table(["what", "value", "target"], rows)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--volume", type=Path, default=Path("./trained_model"), help="volume with a published model")
    parser.add_argument("--turns", type=int, default=12, help="measurements of requests/s of each predictor")
    parser.add_argument("--seconds", type=int, default=60, help="duration of the load during a release")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main(parse_args())
