"""Compare ways to train on two workers, side by side in one run, by ratios of images/s and by seconds to an accuracy.

    python bench/training.py --volume ./trained_model

Each worker is pinned to one core and uses one thread. Each repetition measures all ways in turn, and each ratio is
taken within a repetition. Prints tables and writes bench/results/training.json.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import this_machine

from distml.training import precision

HERE = Path(__file__).resolve().parent
WAYS_FOLDER = HERE / "ways"
SECONDS = 300  # the time limit of one measurement, the workers' start included
ACCURACY = 0.90


@dataclass(frozen=True)
class Way:
    """A way to train: a script and its last arguments, precision and form.

    Attributes:
        grouped: True if the workers form a group.
        npz: True if the script reads the files of as_npz.py instead of the volume.
    """

    script: str
    arguments: tuple[str, ...]
    grouped: bool = True
    npz: bool = False


OWN, ALONE, AUTOMATIC, USUAL = "two workers", "no communication", "automatic sharding", "usual script"
TUNED, DDP, JAX = "usual script, tuned", "PyTorch DDP", "JAX"
WAYS = {
    f"{name}, {number_format}": Way(script, (number_format, *form), grouped, npz)
    for name, script, form, grouped, npz in (
        (OWN, "own_path.py", (), True, False),
        (ALONE, "own_path.py", (), False, False),
        (AUTOMATIC, "own_path.py", ("automatic",), True, False),
        (USUAL, "usual_script.py", ("found",), True, False),
        (TUNED, "usual_script.py", ("tuned",), True, False),
        (DDP, "pytorch_ddp.py", (), True, True),
        (JAX, "jax_two_processes.py", (), True, True),
    )
    for number_format in (precision.FLOAT32, precision.BFLOAT16)
}
del WAYS[f"{USUAL}, bfloat16"], WAYS[f"{AUTOMATIC}, float32"]  # as it is found, the usual script trains in float32


def ratios_of(best: str) -> list[tuple[str, tuple[str, ...], int, float]]:
    """Return numerator, denominators (the fastest of them counts), batch per worker, and the target of each ratio.

    `best` is the precision that the project takes on this machine.
    """
    own = f"{OWN}, {best}"
    in_both = [
        (f"{OWN}, {taken}", (f"{ALONE}, {taken}",), batch, target)
        for taken in dict.fromkeys((best, "float32"))
        for batch, target in ((64, 0.90), (256, 0.95))
    ]
    return [
        *in_both,
        (own, (f"{USUAL}, float32",), 64, 2.0),
        (own, (f"{DDP}, float32", f"{DDP}, bfloat16"), 64, 1.4),
        (own, (f"{DDP}, float32",), 64, 2.0),
        (own, (f"{JAX}, float32", f"{JAX}, bfloat16"), 64, 1.5),
    ]


def main(args: argparse.Namespace) -> None:
    best = precision.of_this_machine()
    ways = [way for way in WAYS if best == "bfloat16" or not way.endswith("bfloat16")]
    if best == "float32":
        print("this processor has no instructions for bfloat16: its ways are left out")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, WAYS_FOLDER / "as_npz.py", args.volume, folder], check=True)
        speeds = compare(ways, args, Path(folder))
        seconds = {
            way: [measure(WAYS[way], args, Path(folder), 64, ACCURACY) for _ in range(args.accuracy_repetitions)]
            for way in ways
            if WAYS[way].grouped
        }
    report(speeds, seconds, best)


def compare(ways: Sequence[str], args: argparse.Namespace, npz: Path) -> dict[tuple[str, int], list[dict[str, float]]]:
    """Measure all ways in turn, at 64 images per worker, and the project's own at 256 too."""
    figures: dict[tuple[str, int], list[dict[str, float]]] = {}
    for repetition in range(args.repetitions):
        for batch in (64, 256):
            for way in ways:
                if batch != 64 and not way.startswith((OWN, ALONE)):
                    continue
                figures.setdefault((way, batch), []).append(
                    measure(WAYS[way], args, npz, batch, max(20, args.images // batch))
                )
                speed = figures[way, batch][-1]["images_per_second"]
                print(f"repetition {repetition + 1}: {way}, {batch} per worker: {speed:,.0f} images/s", flush=True)
    return figures


def measure(way: Way, args: argparse.Namespace, npz: Path, batch: int, goal: float) -> dict[str, float]:
    """Run two pinned workers side by side; return their figures: the sum of images/s, the maximum of all others."""
    workers = start(way.script, way.grouped, [npz if way.npz else args.volume, "plain", batch, goal, *way.arguments])
    limit = threading.Timer(SECONDS, kill, [workers])
    limit.start()
    try:
        if not way.grouped:
            for worker in workers:
                expect(worker, "ready", way.script)
            for worker in workers:
                print("go", file=worker.stdin, flush=True)
        results = [json.loads(expect(worker, "{", way.script)) for worker in workers]
        for worker in workers:
            worker.communicate()
    finally:
        limit.cancel()
        kill(workers)
        for worker in workers:
            worker.wait()
    combine = {"images_per_second": sum}
    return {name: combine.get(name, max)(result[name] for result in results) for name in results[0]}


def kill(workers: list[subprocess.Popen[str]]) -> None:
    for worker in workers:
        worker.kill()


def start(script: str, grouped: bool, arguments: list[object]) -> list[subprocess.Popen[str]]:
    """Start two workers of a script, each on its own core; `grouped` gives them the TF_CONFIG of one worker group."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    addresses = [f"127.0.0.1:{listener.getsockname()[1]}" for listener in sockets]
    for listener in sockets:
        listener.close()
    workers = []
    for index, core in enumerate(sorted(os.sched_getaffinity(0))[:2]):
        threads = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
        environment = {**os.environ, **threads, "TF_CPP_MIN_LOG_LEVEL": "3"}
        if grouped:
            task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            environment["TF_CONFIG"] = json.dumps(task)
        command = [sys.executable, str(WAYS_FOLDER / script), *map(str, arguments)]
        pipe = subprocess.PIPE
        worker = subprocess.Popen(
            command, env=environment, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        )
        os.sched_setaffinity(worker.pid, {core})
        workers.append(worker)
    return workers


def expect(worker: subprocess.Popen[str], beginning: str, script: str) -> str:
    """Return the worker's next line that starts with `beginning`; exit if the worker ends first."""
    for line in worker.stdout or ():
        if line.startswith(beginning):
            return line
    sys.exit(f"bench/ways/{script} ended early or ran for more than {SECONDS} s; run it by hand to see why")


def report(
    figures: dict[tuple[str, int], list[dict[str, float]]], seconds: dict[str, list[dict[str, float]]], best: str
) -> None:
    """Print and write the medians, the ratios within each repetition, and the seconds to `ACCURACY`."""
    speeds = {key: [figure["images_per_second"] for figure in values] for key, values in figures.items()}
    ratios = [
        ratio(speeds[own, batch], [speeds[other, batch] for other in others], (own, others, batch), target)
        for own, others, batch, target in ratios_of(best)
        if all((other, batch) in speeds for other in others)
    ]
    memory = max(figure["memory_gib"] for key, values in figures.items() for figure in values if OWN in key[0])
    ratios.append({"name": "peak memory of a worker in GiB, at most", "value": round(memory, 2), "target": 1.2})
    content: dict[str, Any] = {
        "machine": this_machine.description(),
        "software": {name: metadata.version(name) for name in ("tensorflow_cpu", "tf_keras", "torch", "jax")},
        "repetitions": len(speeds[f"{OWN}, {best}", 64]),
        "images_per_second": {
            f"{way}, {batch} images per worker": spread_of(values) for (way, batch), values in speeds.items()
        },
        "ratios": ratios,
        f"seconds_to_{ACCURACY}": {
            way: {name: spread_of([value[name] for value in values], 4) for name in values[0]}
            for way, values in seconds.items()
        },
    }
    (HERE / "results" / "training.json").write_text(json.dumps(content, indent=2) + "\n")
    print(content["machine"])
    for name, speed in content["images_per_second"].items():
        print(f"{name:50} {speed['median']:8,.0f} images/s   ({speed['least']:,.0f} to {speed['most']:,.0f})")
    for figure in ratios:
        spread = f"({figure['least']:.2f} to {figure['most']:.2f})" if "least" in figure else ""
        print(f"{figure['name']:80} {figure['value']:6.2f}   {spread:16}   target {figure['target']:.2f}")
    for way, spreads in content[f"seconds_to_{ACCURACY}"].items():
        medians = {name: spread["median"] for name, spread in spreads.items()}
        print(f"{way:50} {medians['seconds_to_accuracy']:6.1f} s to {medians['accuracy']:.4f}")


def ratio(
    own: list[float], others: list[list[float]], names: tuple[str, tuple[str, ...], int], target: float
) -> dict[str, Any]:
    """Return the ratio of `own` to the way with the highest median, taken within each repetition."""
    numerator, denominators, batch = names
    fastest = max(range(len(others)), key=lambda number: statistics.median(others[number]))
    spread = spread_of([mine / other for mine, other in zip(own, others[fastest], strict=True)], digits=3)
    best_form = " (its best form)" if len(others) > 1 else ""
    return {
        "name": f"{numerator} / {denominators[fastest]}{best_form}, {batch} images per worker",
        "value": spread["median"],
        "target": target,
        "least": spread["least"],
        "most": spread["most"],
    }


def spread_of(values: list[float], digits: int | None = None) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), digits),
        "least": round(min(values), digits),
        "most": round(max(values), digits),
    }


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--volume", type=Path, default=Path("./trained_model"), help="volume with the data set")
    parser.add_argument("--repetitions", type=int, default=4, help="repetitions of every way")
    parser.add_argument("--accuracy-repetitions", type=int, default=2, help=f"trainings of every way to {ACCURACY}")
    parser.add_argument("--images", type=int, default=25_600, help="images per worker and measurement")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main(parse_args())
