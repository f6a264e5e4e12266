"""Compare ways to train on two workers, side by side in one run: ratios of images/s, and peak memory.

    python bench/training.py --volume ./trained_model

Every worker is pinned to one core and uses one thread; the ways take turns, repetition after repetition. The result
is a table and bench/results/training.json.
"""

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
WAYS = {
    # name: (script, whether the workers talk to each other)
    "two workers": ("own_path.py", True),
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
    speeds: dict[tuple[str, int], list[float]] = {}
    memory = 0.0
    for repetition in range(args.repetitions):
        for batch in (64, 256):
            for way in WAYS:
                if (way, batch) not in TARGETS and way != "two workers":
                    continue
                results = measure(way, args.volume, batch, max(20, args.images // batch))
                speeds.setdefault((way, batch), []).append(sum(result["images_per_second"] for result in results))
                memory = max(memory, *(result.get("memory_gib", 0.0) for result in results))
                print(
                    f"repetition {repetition + 1}: {way}, {batch} per worker: {speeds[way, batch][-1]:,.0f} images/s",
                    flush=True,
                )
    report(speeds, memory, args.repetitions)


def measure(way: str, volume: Path, batch: int, steps: int) -> list[dict]:
    """Run two pinned workers; returns what each printed."""
    script, together = WAYS[way]
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    addresses = [f"127.0.0.1:{listener.getsockname()[1]}" for listener in sockets]
    for listener in sockets:
        listener.close()
    workers = []
    for index, core in enumerate(sorted(os.sched_getaffinity(0))[:2]):
        threads = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
        environment = {**os.environ, **threads, "TF_CPP_MIN_LOG_LEVEL": "3"}
        if together:
            task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
            environment["TF_CONFIG"] = json.dumps(task)
        command = [sys.executable, HERE / script, volume, "plain", str(batch), str(steps)]
        worker = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        os.sched_setaffinity(worker.pid, {core})
        workers.append(worker)
    outputs = [worker.communicate(timeout=300) for worker in workers]
    for worker, (_, errors) in zip(workers, outputs, strict=True):
        if worker.returncode:
            sys.exit(f"{script} failed:\n{errors[-2000:]}")
    return [json.loads(output.strip().splitlines()[-1]) for output, _ in outputs]


def report(speeds: dict[tuple[str, int], list[float]], memory: float, repetitions: int) -> None:
    ratios = [
        {
            "name": f"two workers / {way}, {batch} images per worker",
            "value": round(statistics.median(speeds["two workers", batch]) / statistics.median(speeds[way, batch]), 3),
            "target": target,
        }
        for (way, batch), target in TARGETS.items()
    ]
    content = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "repetitions": repetitions,
        "images_per_second": {
            f"{way}, {batch} images per worker": {
                "median": round(statistics.median(values)),
                "least": round(min(values)),
                "most": round(max(values)),
            }
            for (way, batch), values in speeds.items()
        },
        "ratios": ratios,
        "peak_memory_of_a_worker_gib": {"value": round(memory, 2), "target": 1.2},
    }
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / "training.json").write_text(json.dumps(content, indent=2) + "\n")
    for name, speed in content["images_per_second"].items():
        print(f"{name:45} {speed['median']:8,} images/s   ({speed['least']:,} to {speed['most']:,})")
    for ratio in ratios:
        print(f"{ratio['name']:55} {ratio['value']:6.2f}   target {ratio['target']:.2f}")
    print(f"peak memory of a worker: {memory:.2f} GiB   target 1.20")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--volume", type=Path, default=Path("./trained_model"), help="with the data ingested")
    parser.add_argument("--repetitions", type=int, default=5, help="of every way")
    parser.add_argument("--images", type=int, default=12_800, help="per worker and measurement")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main(parse_args())
