"""Locks on files and folders. Unlike a time, a lock says whether a process still lives, whatever the clock says.

A volume without such locks has none: nobody waits there, and nothing is in use.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def in_use(path: Path) -> Iterator[None]:
    """Show other processes during the block that `path` is in use."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            fcntl.flock(stack.enter_context(opened(path)), fcntl.LOCK_SH)
        yield


def is_in_use(path: Path) -> bool:
    """Return whether a process uses `path`; False if it does not exist, or the volume has no locks."""
    with contextlib.suppress(OSError), opened(path) as descriptor:
        return not locked(descriptor)
    return False


def locked(descriptor: int) -> bool:
    """Lock a file that was opened; return False if another process holds the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # no locks here; NFS has none for a file that was opened to read
        return True
    return True


@contextlib.contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a file or folder to lock it; the lock ends with the block."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
