"""Runs of a few bytes that changed days ago."""

import os
import time
from pathlib import Path

from distml.step.volume import Volume


def write_run(volume: Volume, name: str, days: float) -> Path:
    """Write a run that changed this many days ago; return its folder."""
    folder = volume.run(name)
    weights = volume.checkpoints(name, "plain", 1) / "weights"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(bytes(1_000_000))
    (folder / "run.json").write_text("{}")
    changed = time.time() - days * 86_400
    for path in (folder, *folder.rglob("*")):
        os.utime(path, (changed, changed))
    return folder
