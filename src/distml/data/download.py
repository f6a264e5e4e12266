"""Fashion-MNIST's four files by HTTP, from where tensorflow-datasets has them. Standard library only.

No wait is long: each file has a deadline, and so has each wait for the next byte.
"""

import http.client
import queue
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from distml.data.published_files import FILES, SMALLEST, TOTAL_BYTES, NotObtained, Progress, Unavailable, fault_of
from distml.step import outcome

# Where TFDS downloads the files: FashionMNIST.URL.
URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
LARGEST_FILE_BYTES = 1 << 25

PROBE_SECONDS = 3  # for the smallest file, which shows whether the download works: from the look-up to the last byte
STALL_SECONDS = 10
LONGEST_SECONDS = 600


def where() -> str:
    """Say in a few words what `fetch` would do, once the smallest file has come. Raises what `fetch` raises."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        _download_file(SMALLEST, Path(folder), PROBE_SECONDS, PROBE_SECONDS)
    return f"a download of {TOTAL_BYTES / 1e6:.0f} MB from {urlsplit(URL).hostname}"


def fetch(folder: Path, progress: Progress | None) -> Path:
    """Download the files into `folder`, and return it. TFDS's own downloader sets no time limit and tries eleven times.

    Raises:
        Unavailable: the server cannot be reached, has no such file, or falls silent.
        NotObtained: it answers something else.
    """
    arrived = _download_file(SMALLEST, folder, PROBE_SECONDS, PROBE_SECONDS)
    size, host = f"{TOTAL_BYTES / 1e6:.0f} MB", urlsplit(URL).hostname
    outcome.write_line(sys.stdout, f"downloading Fashion-MNIST ({size}) from {host}")
    for name in FILES:
        if name != SMALLEST:
            arrived = _download_file(name, folder, STALL_SECONDS, LONGEST_SECONDS, progress, arrived)
    return folder


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
