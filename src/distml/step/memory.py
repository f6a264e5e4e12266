"""The memory of this machine, and what a worker takes of it. Standard library only."""

import contextlib
import subprocess
import sys
from pathlib import Path

GIB = 2**30
WORKER_MEMORY = 1.2  # GiB, at most, as bench/pipeline.py measures it
LEAST_WORKER_MEMORY = 0.5  # GiB: TensorFlow, the images and nothing else


def free_memory() -> float | None:
    """Return the GiB that the system can give without swapping, within a container's limit; None if not known."""
    if sys.platform == "darwin":
        told = subprocess.run(["sysctl", "-n", "hw.memsize"], capture_output=True, text=True, check=False).stdout
        return int(told) / GIB if told.strip().isdigit() else None
    limits = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        (line,) = [line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable")]
        limits.append(int(line.split()[1]) / 2**20)
    with contextlib.suppress(OSError, ValueError):
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()) / GIB)
    return min(limits, default=None)
