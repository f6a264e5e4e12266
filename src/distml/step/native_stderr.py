"""Stderr of native libraries while they load: held back, then shown if loading fails or kills the process."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator

# Written last, after a load that succeeded.
LOADED = b"\0loaded\n"
# Lines that explain no failure: "I0000 00:00:1795674379.72 6085 port.cc:153] oneDNN custom operations are on. …".
ANNOUNCEMENT = re.compile(rb"I\d{4} |INFO: |WARNING: All log messages before absl::InitializeLog")


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Hold back what the block writes to file descriptor 2; show it if the block raises or the process dies.

    A child process keeps the text, since a process killed by a signal cannot show it. Process 1 of a container holds
    nothing back: its death kills the child too.
    """
    if os.getpid() == 1:
        yield
        return
    read, write = os.pipe()
    keeper = subprocess.Popen([sys.executable, "-I", "-S", __file__], stdin=read)
    os.close(read)
    stderr = os.dup(2)
    os.dup2(write, 2)
    try:
        yield
        os.write(write, LOADED)
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(write)
        keeper.wait()


def keep(source: int, target: int) -> None:
    """Read `source` to its end, then copy it to `target` without announcements, unless it ends with LOADED."""
    text = b""
    while not text.endswith(LOADED) and (block := os.read(source, 2**16)):
        text += block
    if not text.endswith(LOADED):
        for line in text.splitlines():
            if not ANNOUNCEMENT.match(line):
                os.write(target, line + b"\n")


if __name__ == "__main__":
    keep(0, 2)
