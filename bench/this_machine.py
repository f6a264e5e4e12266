"""The machine, as the results describe it."""

import platform
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from distml.step import machine


def description() -> str:
    """Return processor, instruction set, cores and system."""
    processor = f"{platform.machine()} with {machine.instruction_set()}"
    return f"{processor}, {len(machine.cores())} cores, {platform.system()} {platform.release()}"
