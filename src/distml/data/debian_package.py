"""Debian's package of Fashion-MNIST: apt-get fetches it without root, and nothing is installed.

apt's own configuration (sources, keys, proxies, certificates) applies. apt-get writes only into one folder and runs no
hooks of other programs. Standard library only.
"""

import contextlib
import errno
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from distml.data.published_files import Progress, Unavailable

PACKAGE = "dataset-fashion-mnist"
FOLDER_IN_PACKAGE = Path("usr/share/datasets/fashion-mnist")
FIRST_BYTE_SECONDS = 4  # a source that works sends its first byte sooner
STALL_SECONDS = 15
LONGEST_SECONDS = 600

# Read after the machine's own configuration: removes hooks, and fetches only each source's package list.
CONFIGURATION = """
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear Acquire::IndexTargets;
Acquire::IndexTargets::deb::Packages {
  MetaKey "$(COMPONENT)/binary-$(ARCHITECTURE)/Packages";
  flatMetaKey "Packages";
  ShortDescription "Packages";
  Description "$(RELEASE)/$(COMPONENT) $(ARCHITECTURE) Packages";
  flatDescription "$(RELEASE) Packages";
  Optional "0";
};
"""


def size(folder: Path, progress: Progress | None = None) -> int | None:
    """Fetch the package lists into `folder`; return the package's size in bytes, None if apt does not know it.

    Raises:
        Unavailable: apt-get is not installed, its sources do not answer, or none has the package.
        OSError: the disk is full.
    """
    for program in ("apt-get", "dpkg-deb"):
        if not shutil.which(program):
            raise Unavailable(f"{program} is not installed on this machine")
    try:
        update = ("-o", "Acquire::Retries=0", "update")
        problem = _first_problem(_apt_get(folder, *update, patience=FIRST_BYTE_SECONDS, progress=progress))
    except Unavailable as error:  # the other sources may have the package
        problem = str(error).removeprefix("apt-get: ")
    try:
        listed = _apt_get(folder, "--print-uris", "download", PACKAGE)
    except Unavailable as error:
        raise Unavailable(f"{error} ({problem})" if problem else str(error)) from None
    found = re.search(r"^'.*' \S+ (\d+)", listed, re.MULTILINE)
    return int(found[1]) if found else None


def fetch(folder: Path, progress: Progress | None = None) -> Path:
    """Fetch and unpack the package; return the folder with the four files, which is below `folder`.

    Args:
        folder: an empty folder.
        progress: called with the bytes received and the total, which is None while the package lists are fetched.

    Raises:
        Unavailable: the package cannot be fetched.
        OSError: the disk is full.
    """
    total = size(folder, progress)
    _apt_get(folder, "download", PACKAGE, progress=progress, total=total)
    package = next(folder.glob(f"{PACKAGE}_*.deb"), None)
    if not package:
        raise Unavailable(f"apt-get download left no file {PACKAGE}_*.deb")
    if progress:
        progress(package.stat().st_size, package.stat().st_size)
    _run(["dpkg-deb", "--extract", str(package), str(folder / "unpacked")], folder)
    return folder / "unpacked" / FOLDER_IN_PACKAGE


def _apt_get(folder: Path, *arguments: str, **options: Any) -> str:
    """Run apt-get, which writes only below `folder`; `options` are those of `_run`."""
    configuration, lists, cache, installed = (folder / name for name in ("apt.conf", "lists", "cache", "status"))
    configuration.write_text(CONFIGURATION)
    installed.touch()
    for partial in (lists / "partial", cache / "archives" / "partial"):
        partial.mkdir(parents=True, exist_ok=True)
    settings = {
        "Dir::State::Lists": lists,
        "Dir::State::status": installed,  # empty: an installed package would hide the one to fetch
        "Dir::Cache": cache,
        "Dir::Cache::archives": cache / "archives",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Sandbox::User": "root",  # apt would switch to its own user, which cannot write here
        "Acquire::Languages": "none",
        "Acquire::http::Timeout": STALL_SECONDS,
        "Acquire::https::Timeout": STALL_SECONDS,
    }
    set_all = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    return _run(["apt-get", "-qq", "-c", str(configuration), *set_all, *arguments], folder, **options)


def _run(
    command: list[str],
    folder: Path,
    patience: float | None = None,
    progress: Progress | None = None,
    total: int | None = None,
) -> str:
    """Run `command` in `folder` as long as bytes keep arriving there; return its output.

    Args:
        command: program and arguments.
        folder: the working directory; its growth is the progress.
        patience: seconds to wait for the first byte; by default STALL_SECONDS, the limit for each later byte.
        progress: called with the bytes received and `total`.
        total: the expected bytes, None if unknown.
    """
    environment = {**os.environ, "LC_ALL": "C"}  # messages in English, for the patterns below
    before = _bytes_below(folder)
    with tempfile.TemporaryFile("w+", errors="replace") as printed:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(f"{command[0]} cannot be started: {error.strerror}") from None
        try:
            reason = _wait(process, folder, before, STALL_SECONDS if patience is None else patience, progress, total)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        printed.seek(0)
        output = printed.read()
    if reason:
        raise Unavailable(f"{command[0]}: {reason}")
    if process.returncode:
        if re.search(r"No space left on device|enough free space|Disk quota exceeded", output):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        raise Unavailable(f"{command[0]}: {_first_problem(output) or f'ended with status {process.returncode}'}")
    return output


def _wait(
    process: subprocess.Popen, folder: Path, before: int, patience: float, progress: Progress | None, total: int | None
) -> str | None:
    """Return None once the process ends, or the reason for giving up; `before`: bytes in `folder` at the start."""
    started = moved = time.monotonic()
    last = before
    while True:
        try:
            process.wait(0.1)
            return None
        except subprocess.TimeoutExpired:
            now = time.monotonic()
        if (current := _bytes_below(folder)) != last:
            last, moved, patience = current, now, STALL_SECONDS
            if progress:
                progress(max(0, current - before), total)
        if now - moved > patience:
            return f"no byte arrived for {patience:g} s"
        if now - started > LONGEST_SECONDS:
            return f"not finished after {LONGEST_SECONDS:g} s"


def _bytes_below(folder: Path) -> int:
    """Return the total size of the files in bytes, without that of the folders."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # apt-get may rename a file at this moment
                total += (Path(parent) / name).lstat().st_size
    return total


def _first_problem(output: str) -> str:
    """Return the first error that apt printed, else its first warning, else its first line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    first = next((line for mark in ("E: ", "W: ", "") for line in lines if line.startswith(mark)), "")
    return " ".join(first.removeprefix("E: ").removeprefix("W: ").split())[:200]
