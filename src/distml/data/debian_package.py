"""Debian's package of Fashion-MNIST, fetched by apt-get with the user's own rights. The machine stays as it is.

apt's configuration (sources, keys, proxies, certificates) stays in force; what apt-get writes goes into one folder, and
hooks of other programs are left out. Standard library only.
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
FIRST_BYTE_SECONDS = 4  # a source that answers has sent something by then
STALL_SECONDS = 15
LONGEST_SECONDS = 600

# Read after the machine's own configuration. Of each source only the list of packages is fetched.
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
    """Fetch the lists of packages into `folder`; returns the package's size in bytes, None when apt does not know it.

    Raises:
        Unavailable: there is no apt-get, its sources do not answer, or none has the package.
        OSError: the disk is full.
    """
    for program in ("apt-get", "dpkg-deb"):
        if not shutil.which(program):
            raise Unavailable(f"{program} is not on this machine")
    try:
        quick = ("-o", "Acquire::Retries=0", "update")
        trouble = _complaint(_apt_get(folder, *quick, patience=FIRST_BYTE_SECONDS, progress=progress))
    except Unavailable as error:  # one source of several may be dead
        trouble = str(error).removeprefix("apt-get: ")
    try:
        listed = _apt_get(folder, "--print-uris", "download", PACKAGE)
    except Unavailable as error:
        raise Unavailable(f"{error} ({trouble})" if trouble else str(error)) from None
    found = re.search(r"^'.*' \S+ (\d+)", listed, re.MULTILINE)
    return int(found[1]) if found else None


def fetch(folder: Path, progress: Progress | None = None) -> Path:
    """Fetch and unpack the package; returns the folder with the four files, which is below `folder`.

    Args:
        folder: is empty.
        progress: called with the bytes that have arrived and the total, which is None while the lists arrive.

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
    """Run apt-get with all that it writes below `folder`; for the other arguments see `_run`."""
    configuration, lists, cache, installed = (folder / name for name in ("apt.conf", "lists", "cache", "status"))
    configuration.write_text(CONFIGURATION)
    installed.touch()
    for partial in (lists / "partial", cache / "archives" / "partial"):
        partial.mkdir(parents=True, exist_ok=True)
    settings = {
        "Dir::State::Lists": lists,
        "Dir::State::status": installed,  # nothing: an installed package hides the one that can be fetched
        "Dir::Cache": cache,
        "Dir::Cache::archives": cache / "archives",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Sandbox::User": "root",  # whom apt would become instead cannot write here
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
    """Run `command` in `folder` for as long as something arrives there; returns what it printed.

    Args:
        command: program and arguments.
        folder: where the command works; its growth is the progress.
        patience: seconds to wait for the first byte; afterwards, and by default, STALL_SECONDS.
        progress: called with the bytes that have arrived and `total`.
        total: bytes to expect, None when unknown.
    """
    environment = {**os.environ, "LC_ALL": "C"}  # the messages in one language
    before = _bytes_below(folder)
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise Unavailable(f"{command[0]} cannot be started: {error.strerror}") from None
        try:
            given_up = _wait(process, folder, before, STALL_SECONDS if patience is None else patience, progress, total)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        said.seek(0)
        output = said.read()
    if given_up:
        raise Unavailable(f"{command[0]}: {given_up}")
    if process.returncode:
        if re.search(r"No space left on device|enough free space|Disk quota exceeded", output):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        raise Unavailable(f"{command[0]}: {_complaint(output) or f'ended with status {process.returncode}'}")
    return output


def _wait(
    process: subprocess.Popen, folder: Path, before: int, patience: float, progress: Progress | None, total: int | None
) -> str | None:
    """Return None once the process has ended, or why it is waited for no longer; `before`: bytes before it began."""
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
            return f"not done after {LONGEST_SECONDS:g} s"


def _bytes_below(folder: Path) -> int:
    """The sum of the files' sizes; folders do not count, as an empty one has a size too."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # renamed meanwhile
                total += (Path(parent) / name).lstat().st_size
    return total


def _complaint(output: str) -> str:
    """The first error that apt printed, or else its first warning, or else the first line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    first = next((line for mark in ("E: ", "W: ", "") for line in lines if line.startswith(mark)), "")
    return " ".join(first.removeprefix("E: ").removeprefix("W: ").split())[:200]
