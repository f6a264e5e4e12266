"""Locks on files and folders. Unlike a time, a lock says whether a process still lives, whatever the clock says.

A volume without such locks has none: nobody waits there, and nothing is in use.
"""

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def created(path: Path, create: Callable[[], None]) -> Iterator[None]:
    """Create `path` by `create`, and show other processes during the block that it is in use.

    Before the lock another process may take it for unused and remove it; it is then created again.
    """
    with contextlib.ExitStack() as stack:
        exists = False
        while not exists:
            create()
            with contextlib.suppress(OSError):
                fcntl.flock(stack.enter_context(opened(path)), fcntl.LOCK_SH)
            exists = path.exists()
        yield


@contextlib.contextmanager
def if_unused(path: Path) -> Iterator[bool]:
    """Yield whether no process uses `path`, which must exist; during the block none begins to."""
    with opened(path) as descriptor:
        yield locked(descriptor)


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
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a pipe would block
    try:
        yield descriptor
    finally:
        os.close(descriptor)
