"""Fashion-MNIST's four files over HTTP, from the address that tensorflow-datasets uses. Standard library only.

Each file has a deadline, and so has each wait for the next byte.
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

# The address that TFDS uses, FashionMNIST.URL.
URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
LARGEST_FILE_BYTES = 1 << 25

PROBE_SECONDS = 3  # for the whole smallest file, name resolution included: it shows whether the download works
STALL_SECONDS = 10
LONGEST_SECONDS = 600


def where() -> str:
    """Describe the download after fetching its smallest file. Raises what `fetch` raises."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        _download_file(SMALLEST, Path(folder), PROBE_SECONDS, PROBE_SECONDS)
    return f"a download of {TOTAL_BYTES / 1e6:.0f} MB from {urlsplit(URL).hostname}"


def fetch(folder: Path, progress: Progress | None) -> Path:
    """Download the files into `folder` and return it. TFDS's own downloader has no time limit and tries eleven times.

    Raises:
        Unavailable: the server cannot be reached, lacks a file, or stops sending.
        NotObtained: the server sends something else.
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
    """Download one of the four files and check its content.

    Args:
        name: the file's name.
        folder: the folder to write the file to.
        stall: the longest wait for the next byte, in seconds.
        longest: the deadline for the whole file, in seconds.
        progress: called with the bytes received of all four files, and their total.
        before: the bytes of the files before this one.

    Returns:
        The bytes of this file and of those before it.

    Raises:
        Unavailable: the server cannot be reached, lacks the file, or stops sending.
        NotObtained: the server sends something else, such as a network's login page.
    """
    path = folder / name
    try:
        with path.open("wb") as file:
            for chunk in _chunks(URL + name, stall, longest):
                file.write(chunk)
                before += len(chunk)
                if progress:
                    progress(before, TOTAL_BYTES)
    except OSError as error:  # of the disk: network errors arrive as Unavailable
        error.filename = error.filename or str(path)
        raise
    if fault := fault_of(path):
        raise NotObtained(f"the answer from {URL}{name} {fault}")
    return before


def _chunks(url: str, stall: float, longest: float) -> Iterator[bytes]:
    """Yield the body of `url` as it arrives.

    A separate thread reads it, because name resolution has no time limit and would block the caller.

    Raises:
        Unavailable: the server does not answer, answers with an error, or stops sending.
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
            raise Unavailable(f"{_describe_server(url)}: {_reason(chunk)}") from None
        if not chunk:
            return
        yield chunk


def _read(url: str, stall: float, arrived: "queue.SimpleQueue[bytes | Exception]") -> None:
    """Put the body of `url` into the queue in chunks, then an empty chunk or the exception that ended the read."""
    remaining = LARGEST_FILE_BYTES
    try:
        with urllib.request.build_opener().open(url, timeout=stall) as response:
            while remaining > 0 and (chunk := response.read1(1 << 16)):
                remaining -= len(chunk)
                arrived.put(chunk)
        arrived.put(b"")
    except Exception as error:  # the waiting thread needs to know about any failure
        arrived.put(error)


def _describe_server(url: str) -> str:
    """Describe the server of `url`, with the proxy that the environment sets for it, if any."""
    host = urlsplit(url).hostname or url
    proxied = "http" in urllib.request.getproxies() and not urllib.request.proxy_bypass(host)
    return f"{host} through the proxy in http_proxy" if proxied else host


def _reason(error: BaseException) -> str:
    """Return in a few words why a request failed."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP status {error.code}"
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, BaseException):
        return _reason(error.reason)
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.HTTPException):
        return f"not a valid HTTP answer ({type(error).__name__})"
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return text.splitlines()[0][:200]
