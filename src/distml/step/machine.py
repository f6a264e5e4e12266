"""The machine: its free memory, its cores, and the instruction sets of its processor. Standard library only."""

import contextlib
import os
import platform
import subprocess
import sys
from pathlib import Path

GIB = 2**30
WORKER_MEMORY = 1.2  # GiB: the target for the peak that bench/pipeline.py measures
LEAST_WORKER_MEMORY = 0.5  # GiB: only TensorFlow and the images
# Flags of /proc/cpuinfo, and their names, of the instruction sets that TensorFlow's kernels use, from slow to fast.
INSTRUCTION_SETS = {
    "avx": "AVX",
    "avx2": "AVX2",
    "avx512f": "AVX-512",
    "avx512_vnni": "AVX512-VNNI",
    "avx512_bf16": "AVX512-BF16",
    "amx_bf16": "AMX-BF16",
}


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


def processor_flags() -> set[str]:
    """Return the flags of the processor; an empty set if the system does not list them, as on macOS and arm64."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("flags"):
                return set(line.split(":", 1)[1].split())
    return set()


def instruction_set() -> str:
    """Return the name of the fastest of `INSTRUCTION_SETS` here, or the kind of processor if the system lists none."""
    flags = processor_flags()
    return next((name for flag, name in reversed(INSTRUCTION_SETS.items()) if flag in flags), platform.machine())


def cores() -> list[int]:
    """Return the numbers of the cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else list(range(os.cpu_count() or 1))
