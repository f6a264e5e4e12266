"""The size of the volume and the space that is left on it, as metrics."""

import asyncio
import contextlib
import os
from pathlib import Path

from prometheus_client import Gauge

SIZE = Gauge("predictor_volume_size_bytes", "Size of the file system with the published versions")
FREE = Gauge("predictor_volume_free_bytes", "Space on it that is left for the pipeline")
SECONDS = 15


async def follow(folder: Path) -> None:
    """Measure the volume every `SECONDS`, in a thread, because a volume in the network may not answer."""
    while True:
        await asyncio.to_thread(measure, folder)
        await asyncio.sleep(SECONDS)


def measure(folder: Path) -> None:
    """Measure the file system of a folder. If it cannot be asked, the metrics keep their values."""
    with contextlib.suppress(OSError):
        status = os.statvfs(folder)
        SIZE.set(status.f_frsize * status.f_blocks)
        FREE.set(status.f_frsize * status.f_bavail)
