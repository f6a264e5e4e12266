"""Compare ways to train on two workers, side by side in one run, by ratios of images/s.

    python bench/training.py --volume ./trained_model

Each worker is pinned to one core and uses one thread. Each repetition measures all ways in turn. Prints a table and
writes bench/results/training.json.
"""

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
SECONDS = 300  # the time limit of one measurement, the workers' start included
OWN = "two workers"
WAYS = {
    # name: (script, True if the workers form a group)
    OWN: ("own_path.py", True),
    "no communication": ("own_path.py", False),
    "usual script": ("usual_script.py", True),
    "PyTorch DDP": ("pytorch_ddp.py", True),
}
TARGETS = {
    ("no communication", 64): 0.90,
    ("no communication", 256): 0.95,
    ("usual script", 64): 2.0,
    ("PyTorch DDP", 64): 1.6,
}


def main(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, HERE / "as_npz.py", args.volume, folder], check=True)
        compare(args, Path(folder))


def compare(args: argparse.Namespace, npz: Path) -> None:
    """Measure all ways in turn, then report. `npz` is the folder with the training split for PyTorch."""
    speeds: dict[tuple[str, int], list[float]] = {}
    for repetition in range(args.repetitions):
        for batch in (64, 256):
            for way in WAYS:
                if (way, batch) not in TARGETS and way != OWN:
                    continue
                source = npz if way == "PyTorch DDP" else args.volume
                speeds.setdefault((way, batch), []).append(measure(way, source, batch, max(20, args.images // batch)))
                print(
                    f"repetition {repetition + 1}: {way}, {batch} per worker: {speeds[way, batch][-1]:,.0f} images/s",
                    flush=True,
                )
    report(speeds)


def measure(way: str, volume: Path, batch: int, steps: int) -> float:
    """Run two pinned workers side by side; return the sum of their images/s."""
    script, grouped = WAYS[way]
    workers = start(script, grouped, [volume, "plain", batch, steps])
    limit = threading.Timer(SECONDS, kill, [workers])
    limit.start()
    try:
        if not grouped:
            for worker in workers:
                expect(worker, "ready", script)
            for worker in workers:
                print("go", file=worker.stdin, flush=True)
        results = [json.loads(expect(worker, "{", script)) for worker in workers]
        for worker in workers:
            worker.communicate()
    finally:
        limit.cancel()
        kill(workers)
        for worker in workers:
            worker.wait()
    return sum(result["images_per_second"] for result in results)


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
        command = [sys.executable, str(HERE / script), *map(str, arguments)]
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
    sys.exit(f"bench/{script} ended early or ran for more than {SECONDS} s; run it by hand to see why")


def report(speeds: dict[tuple[str, int], list[float]]) -> None:
    """Print and write the medians, and the ratios within each repetition."""
    ratios = []
    for (way, batch), target in TARGETS.items():
        pairs = zip(speeds[OWN, batch], speeds[way, batch], strict=True)
        spread = spread_of([own / other for own, other in pairs], digits=3)
        ratios.append(
            {
                "name": f"{OWN} / {way}, {batch} images per worker",
                "value": spread["median"],
                "target": target,
                "least": spread["least"],
                "most": spread["most"],
            }
        )
    content: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "repetitions": len(speeds[OWN, 64]),
        "images_per_second": {
            f"{way}, {batch} images per worker": spread_of(values) for (way, batch), values in speeds.items()
        },
        "ratios": ratios,
    }
    (HERE / "results" / "training.json").write_text(json.dumps(content, indent=2) + "\n")
    for name, speed in content["images_per_second"].items():
        print(f"{name:45} {speed['median']:8,.0f} images/s   ({speed['least']:,.0f} to {speed['most']:,.0f})")
    for ratio in ratios:
        print(
            f"{ratio['name']:50} {ratio['value']:6.2f}   ({ratio['least']:.2f} to {ratio['most']:.2f})"
            f"   target {ratio['target']:.2f}"
        )


def spread_of(values: list[float], digits: int | None = None) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), digits),
        "least": round(min(values), digits),
        "most": round(max(values), digits),
    }


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--volume", type=Path, default=Path("./trained_model"), help="volume with the data set")
    parser.add_argument("--repetitions", type=int, default=7, help="repetitions of every way")
    parser.add_argument("--images", type=int, default=25_600, help="images per worker and measurement")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main(parse_args())
