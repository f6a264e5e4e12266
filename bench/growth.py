"""Measure what exchanges and computation cost, and model how training grows from 2 to 64 workers.

    python bench/growth.py --volume ./trained_model
    python bench/growth.py --from-results         # only the model, from the measured points
    python bench/growth.py --link 0.2 25000       # only its table for your network: one-way latency in ms, Mbit/s

Needs `toxiproxy-server` on the PATH. Measures exchanges of 2, 3 and 4 workers under several latencies and bandwidths,
training steps of workers without peers, whole training steps of two workers, and memory. Prints tables and writes
bench/results/growth.json and bench/results/growth.png.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import this_machine
from scaling import evaluation, report
from scaling.group import Group, spread_of
from scaling.network import Link, Network, find_program

from distml.model.names import MODELS
from distml.step import command_line, machine
from distml.step.volume import Volume
from distml.training import precision, run_identity

RESULTS = Path(__file__).resolve().parent / "results"
TRAINING = RESULTS.parents[1] / "src" / "multi_worker_distributed_training.py"
WORKERS = (2, 3, 4)
LATENCIES = (0, 1, 2, 5)  # ms, one way
RATES = (None, 1000, 300, 100)  # Mbit/s
# Of the size that a training step exchanges. A sixteenth, on links of unlimited rate, has parts as small as those of
# a ring of 64 workers.
DIVISORS = (1, 16)
BATCHES = (32, 64, 128, 256, 512)  # per worker
WHOLE = [(Link(latency, rate), batch) for batch in (64, 256) for latency, rate in zip(LATENCIES, RATES, strict=True)]
IMAGES = (11_000, 33_000, 55_000)
EXCHANGES = {"blocks": 8, "length": 10}


def main(args: argparse.Namespace) -> None:
    path = RESULTS / "growth.json"
    recorded = args.from_results or args.link
    measured = json.loads(path.read_text())["measured"] if recorded else measure(args.volume)
    if args.link:
        print(report.growth_table({"growth": evaluation.growth_on(measured, args.link)}))
        return
    content = {"measured": measured, "model": evaluation.evaluate(measured)}
    path.write_text(json.dumps(content, indent=1) + "\n")
    report.plot(content["model"], path.with_suffix(".png"))
    print(report.tables(content))


def measure(volume: Path) -> dict[str, Any]:
    find_program()  # before a minute of other measurements
    alone = list(steps_alone(volume))
    with Network() as network:
        links = network.measure(LATENCIES, RATES)
    exchanges: list[dict[str, Any]] = []
    whole: list[dict[str, Any]] = []
    for workers in WORKERS:
        with Network() as network, Group(volume, workers, network) as group:
            exchanges += exchanges_of(group, workers, network, links)
            if workers == 2:
                whole = list(whole_steps(group, network, links))
    return {
        "machine": this_machine.description(),
        "software": {"tensorflow": run_identity.software()["tensorflow"]},
        "cores": len(machine.cores()),
        "precision": precision.of_this_machine(),
        "exchanges": exchanges,
        "alone": alone,
        "whole": whole,
        "memory": list(memory(volume)),
    }


def steps_alone(volume: Path) -> Iterator[dict[str, Any]]:
    """Measure training steps without peers, on two cores at once as in a group of two workers."""
    with Group(volume, 2) as workers:
        for batch in BATCHES:
            yield show({"batch": batch, **spread_of(workers.ask("steps", batch=batch, **steps_of(batch)))})


def exchanges_of(group: Group, workers: int, network: Network, links: dict[Link, dict]) -> Iterator[dict[str, Any]]:
    """Measure the exchanges alone, both ways, on each link."""
    for link, figures in links.items():
        network.set(link)
        for way in ("ring", "gather"):
            for divisor in DIVISORS if link.megabits is None else DIVISORS[:1]:
                answers = group.ask("exchange", way=way, divisor=divisor, **EXCHANGES)
                point = {"workers": workers, "way": way, "bytes": answers[0]["bytes"]}
                yield show({**point, **vars(link), **figures, **spread_of(answers)})


def whole_steps(group: Group, network: Network, links: dict[Link, dict]) -> Iterator[dict[str, Any]]:
    """Measure whole training steps of two workers, with the project's own way to exchange."""
    for link, batch in WHOLE:
        network.set(link)
        answers = group.ask("steps", batch=batch, **steps_of(batch))
        yield show({"batch": batch, **vars(link), **links[link], **spread_of(answers)})


def memory(volume: Path) -> Iterator[dict[str, Any]]:
    """Measure the peak memory of a worker that trains and exports all models, by the number of its training images."""
    for images in IMAGES:
        with tempfile.TemporaryDirectory() as folder:
            trial = Volume(Path(folder))
            trial.dataset.parent.symlink_to(Volume(volume).dataset.parent.resolve())
            options = ["--volume", folder, "--epochs", 1, "--train-images", images, "--model", ",".join(MODELS)]
            process = subprocess.Popen(
                [sys.executable, *map(str, [TRAINING, *options])], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"bench/growth.py: a training with {images} images failed; run {TRAINING.name} by hand to see why")
        yield show({"images": images, "mebibytes": round(usage.ru_maxrss / 1024, 1)})


def steps_of(batch: int) -> dict[str, int]:
    """Return blocks of training steps, each of about half a second."""
    return {"blocks": 8, "length": max(5, 2_560 // batch)}


def show(point: dict[str, Any]) -> dict[str, Any]:
    print(", ".join(f"{name} {value}" for name, value in point.items()), flush=True)
    return point


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--volume", type=Path, default=Path("./trained_model"), help="volume with the data set")
    parser.add_argument("--from-results", action="store_true", help="compute the model again from the recorded points")
    parser.add_argument(
        "--link",
        type=command_line.positive_number,
        nargs=2,
        metavar=("MS", "MBIT"),
        help="print only the model's table for a network of this one-way latency in ms and this rate in Mbit/s",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    main(parse_args())
