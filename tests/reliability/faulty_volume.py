"""A folder mounted through FUSE, in which every change is counted, and from one of them on can end in a fault.

The counting is outside of the processes under attack, so it sees the writes of TensorFlow's threads too.

    python -m reliability.faulty_volume FOLDER MOUNT LOG --at 17 --fault kill
"""

import argparse
import contextlib
import errno
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from support.project import ROOT, SOURCE

KILL, FULL, READ_ONLY = "kill", "full", "read-only"
# The changes that need space. A full disk still renames, removes and sets modes.
NEED_SPACE = {"create", "mkdir", "link", "symlink", "write"}
# The file that shows that a change was refused.
REFUSED = "refused"
# Random and other changing parts of names.
CHANGING = re.compile(r"[0-9a-f]{16}|\d{5,}")


class Change(NamedTuple):
    """A call that changes the volume, and the path that it changes, relative to the volume."""

    call: str
    path: str

    @property
    def place(self) -> "Change":
        """The same without the random parts of the path: equal for equal changes of two runs."""
        return Change(self.call, CHANGING.sub("*", self.path))


def reason_to_skip() -> str:
    """Return why no folder can be mounted here; empty if one can."""
    return "" if os.access("/dev/fuse", os.R_OK | os.W_OK) else "this user may not use /dev/fuse"


@contextmanager
def mounted(folder: Path, at: int | None = None, fault: str = KILL) -> Iterator["Mount"]:
    """Mount `folder` at a temporary path; the fault begins before change number `at`, counted from 0.

    `kill` kills the process group of the caller, and nothing changes from then on. `full` refuses the changes that need
    space, `read-only` refuses all, until the folder is unmounted.
    """
    with tempfile.TemporaryDirectory(prefix="faulty-") as temporary:
        point, log = Path(temporary) / "volume", Path(temporary) / "changes"
        point.mkdir()
        command = [sys.executable, "-m", "reliability.faulty_volume", folder, point, log]
        command += ["--fault", fault, *(["--at", at] if at is not None else [])]
        environment = {**os.environ, "PYTHONPATH": f"{SOURCE}:{ROOT / 'tests'}"}
        server = subprocess.Popen(list(map(str, command)), env=environment)
        try:
            until = time.monotonic() + 20
            while not point.is_mount():
                assert server.poll() is None and time.monotonic() < until, f"cannot mount {point}"
                time.sleep(0.01)
            yield Mount(point, log)
        finally:
            unmount = "umount" if os.getuid() == 0 else "fusermount3 -u"
            subprocess.run([*unmount.split(), str(point)], check=False)
            server.wait(timeout=20)


class Mount(NamedTuple):
    """A mounted folder, and the file with its changes."""

    path: Path
    log: Path

    def changes(self) -> list[Change]:
        """Return the changes so far, in order; with a fault, the last is the one before which it began."""
        return [Change(*json.loads(line)) for line in self.log.read_text().splitlines()]

    def refused(self) -> bool:
        """Return whether a change was refused. A step whose last changes need no space never meets a full disk."""
        return self.log.with_name(REFUSED).exists()


def serve(folder: Path, point: Path, log: Path, at: int | None, fault: str) -> None:
    """Serve `folder` at `point` until it is unmounted, on one thread, so that the changes have an order."""
    import mfusepy

    refused = log.with_name(REFUSED)

    class Passing(mfusepy.Operations):
        """The calls of a file system, passed on to `folder`."""

        use_ns = True

        def __init__(self) -> None:
            self._changes = 0
            self._log = log.open("a", buffering=1)

        def _path(self, path: str) -> Path:
            return Path(f"{folder}{path}")

        def _change(self, call: str, path: str) -> None:
            """Note a change, and begin the fault if it is its turn; raise the error of a refused change."""
            number = self._changes
            self._changes += 1
            begun = at is not None and number >= at
            if not begun or number == at:
                self._log.write(json.dumps([call, path.lstrip("/")]) + "\n")
            if not begun:
                return
            if fault == KILL:
                self._kill_caller()
                raise mfusepy.FuseOSError(errno.EIO)
            if fault == READ_ONLY or call in NEED_SPACE:
                refused.touch()
                raise mfusepy.FuseOSError(errno.EROFS if fault == READ_ONLY else errno.ENOSPC)

        def _kill_caller(self) -> None:
            _, _, caller = mfusepy.fuse_get_context()
            with contextlib.suppress(ProcessLookupError):  # the kernel writes for a process that has ended
                os.killpg(os.getpgid(caller), signal.SIGKILL)

        def getattr(self, path: str, fh: Any = None) -> dict[str, Any]:
            found = self._path(path).lstat()
            names = ("st_mode", "st_size", "st_uid", "st_gid", "st_nlink", "st_blocks")
            times = {name: getattr(found, f"{name}_ns") for name in ("st_atime", "st_mtime", "st_ctime")}
            return {name: getattr(found, name) for name in names} | times

        def readdir(self, path: str, fh: int) -> list[str]:
            return [".", "..", *(entry.name for entry in self._path(path).iterdir())]

        def readlink(self, path: str) -> str:
            return str(self._path(path).readlink())

        def statfs(self, path: str) -> dict[str, int]:
            found = os.statvfs(self._path(path))
            names = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_favail", "f_ffree", "f_files", "f_frsize")
            return {name: getattr(found, name) for name in (*names, "f_namemax")}

        def open(self, path: str, flags: int) -> int:
            if flags & (os.O_WRONLY | os.O_RDWR):
                self._change("open", path)
            return os.open(self._path(path), flags)

        def create(self, path: str, mode: int, fi: Any = None) -> int:
            self._change("create", path)
            return os.open(self._path(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

        def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
            return os.pread(fh, size, offset)

        def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
            self._change("write", path)
            return os.pwrite(fh, data, offset)

        def truncate(self, path: str, length: int, fh: int | None = None) -> int:
            self._change("truncate", path)
            os.truncate(self._path(path), length)
            return 0

        def fsync(self, path: str, datasync: int, fh: int) -> int:
            return 0  # no power is cut here

        def release(self, path: str, fh: int) -> int:
            os.close(fh)
            return 0

        def mkdir(self, path: str, mode: int) -> int:
            self._change("mkdir", path)
            self._path(path).mkdir(mode)
            return 0

        def rmdir(self, path: str) -> int:
            self._change("rmdir", path)
            self._path(path).rmdir()
            return 0

        def unlink(self, path: str) -> int:
            self._change("unlink", path)
            self._path(path).unlink()
            return 0

        def rename(self, old: str, new: str) -> int:
            self._change("rename", new)
            self._path(old).rename(self._path(new))
            return 0

        def link(self, target: str, source: str) -> int:
            self._change("link", target)
            os.link(self._path(source), self._path(target))
            return 0

        def symlink(self, target: str, source: str) -> int:
            self._change("symlink", target)
            self._path(target).symlink_to(source)
            return 0

        def chmod(self, path: str, mode: int) -> int:
            self._change("chmod", path)
            self._path(path).chmod(mode)
            return 0

        def chown(self, path: str, uid: int, gid: int) -> int:
            self._change("chown", path)
            os.chown(self._path(path), uid, gid)
            return 0

        def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
            self._change("utimens", path)
            os.utime(self._path(path), ns=times or (time.time_ns(),) * 2)
            return 0

    mfusepy.FUSE(Passing(), str(point), foreground=True, nothreads=True, entry_timeout=0, attr_timeout=0)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("folder", "point", "log"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--at", type=int)
    parser.add_argument("--fault", choices=(KILL, FULL, READ_ONLY), default=KILL)
    return parser.parse_args()


if __name__ == "__main__":
    serve(**vars(parse_args()))
