"""A clock that jumps, for real processes, Python and TensorFlow alike: a preloaded library changes what they see.

It is theirs alone: the machine's clock stays right, and so do the times that the file system gives to files.
"""

import contextlib
import os
import random
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from support.programs import program_or_skip

DAY = 86_400
YEAR = 365 * DAY


def until(year: int) -> float:
    """Return the seconds from now to the third day of a year."""
    return datetime(year, 1, 3, tzinfo=UTC).timestamp() - time.time()


JUMPS = {
    "a day ahead": DAY,
    "a year ahead": YEAR,
    "a day behind": -DAY,
    "in 1970": until(1970),
    "in 2040": until(2040),
}


class JumpingClock:
    """A clock for the processes that get `environment`; it jumps in all of them at once."""

    def __init__(self, folder: Path) -> None:
        if sys.platform != "linux":
            pytest.skip("the clock of a process cannot be changed on this system")
        library, self._file = folder / "clock.so", folder / "offset"
        compiler = program_or_skip("cc", "gcc")
        source = Path(__file__).with_name("clock.c")
        subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, source], check=True)
        self._file.write_bytes(bytes(8))
        self.environment = {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(self._file)}
        self.set(YEAR)
        show = [sys.executable, "-c", "import time; print(time.time())"]
        shown = subprocess.run(show, env={**os.environ, **self.environment}, capture_output=True, check=True).stdout
        assert abs(float(shown) - time.time() - YEAR) < 60, "the library does not change the clock of Python"
        self.set(0)

    def set(self, offset: float) -> None:
        """Let the clock be wrong by `offset` seconds."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("q", int(offset)))

    @contextlib.contextmanager
    def jumping(self, choice: random.Random, seconds: float) -> Iterator[None]:
        """Jump to another time every `seconds` during the block."""
        stop = threading.Event()

        def jump() -> None:
            while not stop.wait(seconds):
                self.set(choice.choice([0, *JUMPS.values()]))

        thread = threading.Thread(target=jump)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.set(0)

    @contextlib.contextmanager
    def wrong(self, offset: float, volume: Path) -> Iterator[None]:
        """Let the clock be wrong by `offset` during the block, and so the times of the files that the block writes."""
        before = times_of(volume)
        self.set(offset)
        try:
            yield
        finally:
            self.set(0)
            for path, changed in times_of(volume).items():
                if before.get(path) != changed:
                    with contextlib.suppress(FileNotFoundError):
                        os.utime(path, (changed + offset, changed + offset))


def times_of(folder: Path) -> dict[Path, float]:
    """Return the time of the last change of every file and folder, links aside."""
    return {path: path.stat().st_mtime for path in (folder, *folder.rglob("*")) if not path.is_symlink()}
