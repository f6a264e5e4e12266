"""Where Fashion-MNIST's four files come from: a folder, tensorflow-datasets' address, or Debian's package.

Nothing waits long for what is out of reach, and nothing is used before its content is checked. Standard library only:
it also runs where no environment has been made yet.
"""

import argparse
import gzip
import hashlib
import http.client
import os
import queue
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

from distml.data import debian_package
from distml.data.debian_package import Progress, Unavailable
from distml.step import command_line, outcome

WORDS = ("auto", "download", "apt")
DEBIAN_FOLDER = Path("/") / debian_package.FOLDER_IN_PACKAGE
# Where TFDS downloads the files: FashionMNIST.URL.
URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
# SHA-256 of the decompressed idx files. The .gz files differ between distributions of the same data.
CONTENT_SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
FILES = tuple(f"{name}.gz" for name in CONTENT_SHA256)
SMALLEST = "t10k-labels-idx1-ubyte.gz"  # 5 KB: whether the download works
TOTAL_BYTES = 30_878_645
LARGEST_FILE_BYTES = 1 << 25

PROBE_SECONDS = 3  # for the smallest file, from the name's look-up to the last byte
STALL_SECONDS = 10
LONGEST_SECONDS = 600

T = TypeVar("T")


class NotObtained(outcome.StepError):
    """No source worked, such as for want of a network: another attempt may work."""

    exit_status = 1


class Source(NamedTuple):
    """A place to get the files from. Both functions raise Unavailable or StepError when they cannot."""

    where: Callable[[], str]
    fetch: Callable[[Path, Progress | None], Path]


def source(text: str) -> str:
    """An argparse type: a word of `WORDS`, or a folder that is there."""
    if text in WORDS:
        return text
    folder = command_line.path(text)
    if not text or not os.path.isdir(folder):  # noqa: PTH112  # Path.is_dir raises where a parent cannot be read
        words = ", ".join(WORDS)
        raise argparse.ArgumentTypeError(
            f"{text!r} is no folder that can be read; give {words} or a folder with the four .gz files"
        )
    return str(folder)


def obtain(source: str, folder: Path, progress: Progress | None = None) -> Path:
    """Get the four files, and check their content.

    Args:
        source: `auto` (the first that works), `download`, `apt`, or the path of a folder that has them.
        folder: is empty; takes what has to be fetched.
        progress: called with the bytes that have arrived and the total, None while that is unknown.

    Returns:
        The folder that holds them, which is not always `folder`.

    Raises:
        NotObtained: no source worked.
        StepError: the folder of the caller's choice does not hold them.
        OSError: this machine's disk is full.
    """
    return _first_that_works(source, lambda candidate: candidate.fetch(folder, progress))


def where(source: str) -> str:
    """Say in a few words where `obtain` would get the files, without fetching them. Raises what `obtain` raises."""
    return _first_that_works(source, lambda candidate: candidate.where())


def check_files(folder: Path) -> None:
    """Compare the decompressed content of the four files with the published data set."""
    for name in FILES:
        if fault := fault_of(folder / name):
            raise outcome.StepError(f"{folder / name} {fault}")


def fault_of(path: Path) -> str | None:
    """Say what is wrong with one of the four files, and what to do; None when it holds the published content."""
    digest = hashlib.sha256()
    try:
        if not path.is_file():
            return f"is missing; expected the four files {', '.join(FILES)}"
        with gzip.open(path) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        return f"cannot be decompressed ({error}); fetch it again"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    if digest.hexdigest() != CONTENT_SHA256[path.stem]:
        return "does not hold Fashion-MNIST's content (SHA-256 differs); fetch it again"
    return None


def _first_that_works(source: str, attempt: Callable[[Source], T]) -> T:
    """Return what `attempt` returns for the first source with which it succeeds."""
    if source not in WORDS:
        return attempt(_folder(Path(source)))
    reasons = []
    for candidate in _candidates(source):
        try:
            return attempt(candidate)
        except Unavailable as error:
            reasons.append(str(error))
        except outcome.StepError as error:
            reasons.append(str(error))
            outcome.write_line(sys.stdout, f"passed over: {error}")
    raise NotObtained(
        f"Fashion-MNIST could not be downloaded: {'; '.join(reasons)}. Connect this machine to the internet, or install"
        f" the Debian package {debian_package.PACKAGE}, or give a folder with its four .gz files (make run"
        " SOURCE=FOLDER; --source FOLDER)"
    )


def _candidates(source: str) -> list[Source]:
    """The sources that a word stands for, in the order in which they are tried."""
    download, package = Source(_where_download, _download), Source(_where_package, _package)
    if source != "auto":
        return [{"download": download, "apt": package}[source]]
    installed = [_folder(DEBIAN_FOLDER)] if DEBIAN_FOLDER.is_dir() else []
    return [*installed, download, package]


def _folder(folder: Path) -> Source:
    """The source that is a folder of this machine."""

    def where() -> str:
        check_files(folder)
        return f"the folder {folder}"

    def use(*_) -> Path:
        outcome.write_line(sys.stdout, f"reading Fashion-MNIST from {folder}")
        check_files(folder)
        return folder

    return Source(where, use)


def _where_download() -> str:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        _download_file(SMALLEST, Path(folder), PROBE_SECONDS, PROBE_SECONDS)
    return f"a download of {TOTAL_BYTES / 1e6:.0f} MB from {urlsplit(URL).hostname}"


def _download(folder: Path, progress: Progress | None) -> Path:
    """Download the files from where TFDS does: its downloader sets no time limit and tries eleven times."""
    arrived = _download_file(SMALLEST, folder, PROBE_SECONDS, PROBE_SECONDS)
    size, host = f"{TOTAL_BYTES / 1e6:.0f} MB", urlsplit(URL).hostname
    outcome.write_line(sys.stdout, f"downloading Fashion-MNIST ({size}) from {host}")
    for name in FILES:
        if name != SMALLEST:
            arrived = _download_file(name, folder, STALL_SECONDS, LONGEST_SECONDS, progress, arrived)
    return folder


def _where_package() -> str:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        size = debian_package.size(Path(folder))
    return f"Debian's package {debian_package.PACKAGE}" + (f" ({size / 1e6:.0f} MB)" if size else "") + " by apt-get"


def _package(folder: Path, progress: Progress | None) -> Path:
    """Fetch and unpack Debian's package."""
    outcome.write_line(sys.stdout, f"fetching Fashion-MNIST as Debian's package {debian_package.PACKAGE} by apt-get")
    work = folder / "package"
    work.mkdir()
    files = debian_package.fetch(work, progress)
    for name in FILES:
        if fault := fault_of(files / name):
            raise NotObtained(f"in the package {debian_package.PACKAGE} {name} {fault}")
    return files


def _download_file(
    name: str, folder: Path, stall: float, longest: float, progress: Progress | None = None, before: int = 0
) -> int:
    """Download one of the four files and check it.

    Args:
        name: of the file.
        folder: takes the file.
        stall: seconds after which no byte more is waited for.
        longest: seconds for the whole file.
        progress: called with the bytes that have arrived of all four files.
        before: bytes of the files before this one.

    Returns:
        The bytes of this file and those before.

    Raises:
        Unavailable: no connection, no file at the address, or the bytes ceased to come.
        NotObtained: it is something else, such as the login page of a network.
    """
    path = folder / name
    try:
        with path.open("wb") as file:
            for chunk in _chunks(URL + name, stall, longest):
                file.write(chunk)
                before += len(chunk)
                if progress:
                    progress(before, TOTAL_BYTES)
    except OSError as error:  # of the disk: those of the network are Unavailable
        error.filename = error.filename or str(path)
        raise
    if fault := fault_of(path):
        raise NotObtained(f"what {URL}{name} answers {fault}")
    return before


def _chunks(url: str, stall: float, longest: float) -> Iterator[bytes]:
    """Yield the body of `url` as it arrives.

    A thread of its own reads it: the look-up of a name, which has no time limit, cannot hold up the caller either.

    Raises:
        Unavailable: the server does not answer, answers with an error, or falls silent.
    """
    arrived: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(url, stall, arrived), daemon=True).start()
    end = time.monotonic() + longest
    while True:
        try:
            chunk = arrived.get(timeout=max(0.0, min(stall, end - time.monotonic())))
        except queue.Empty:
            chunk = TimeoutError()
        if isinstance(chunk, Exception):
            raise Unavailable(f"{_described(url)}: {_reason(chunk)}") from None
        if not chunk:
            return
        yield chunk


def _read(url: str, stall: float, arrived: "queue.SimpleQueue[bytes | Exception]") -> None:
    """Put the body of `url` into the queue, piece by piece, then an empty piece; or the exception that ended it."""
    left = LARGEST_FILE_BYTES
    try:
        with urllib.request.build_opener().open(url, timeout=stall) as response:
            while left > 0 and (chunk := response.read1(1 << 16)):
                left -= len(chunk)
                arrived.put(chunk)
        arrived.put(b"")
    except Exception as error:  # whatever it is, the thread that waits has to know
        arrived.put(error)


def _described(url: str) -> str:
    """The server of `url`, and whether the environment puts a proxy before it."""
    host = urlsplit(url).hostname or url
    proxied = "http" in urllib.request.getproxies() and not urllib.request.proxy_bypass(host)
    return f"{host} by the proxy of http_proxy" if proxied else host


def _reason(error: BaseException) -> str:
    """Say in a few words why a request failed."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP status {error.code}"
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, BaseException):
        return _reason(error.reason)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.HTTPException):
        return f"no proper HTTP answer ({type(error).__name__})"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return text.splitlines()[0][:200]
