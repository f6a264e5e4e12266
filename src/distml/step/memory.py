"""The free memory of this machine, and the memory that a worker needs. Standard library only."""

import contextlib
import subprocess
import sys
from pathlib import Path

GIB = 2**30
WORKER_MEMORY = 1.2  # GiB: the peak that bench/pipeline.py measures
LEAST_WORKER_MEMORY = 0.5  # GiB: only TensorFlow and the images


def free_memory() -> float | None:
    """Return the GiB available without swapping, within a container's limit (on macOS, all memory); None if unknown."""
    if sys.platform == "darwin":
        output = subprocess.run(["sysctl", "-n", "hw.memsize"], capture_output=True, text=True, check=False).stdout
        return int(output) / GIB if output.strip().isdigit() else None
    limits = []
    with contextlib.suppress(OSError, ValueError, IndexError):
        (line,) = [line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable")]
        limits.append(int(line.split()[1]) / 2**20)
    with contextlib.suppress(OSError, ValueError):
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()) / GIB)
    return min(limits, default=None)
