"""Fake sources of the data: a server's answers, apt-get's actions, and the failures of `obtain`."""

import gzip
import http.server
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from distml.data import debian_package, published_files, sources
from distml.data.debian_package import Progress

REMEDY = (
    "Connect this machine to the internet, or install the Debian package dataset-fashion-mnist, or give a folder with"
    " the four .gz files (make run SOURCE=FOLDER; --source FOLDER)"
)
IMAGES, FIRST = published_files.FILES[0], published_files.SMALLEST
APT_GET = """#!/bin/sh
case "$*" in
  *" update") {update};;
  *" --print-uris "*) {listed};;
  *" download "*) {download};;
esac
"""
LISTED = "echo \"'http://mirror/p.deb' dataset-fashion-mnist_1_all.deb 31 SHA256:0\""
UNPACKED = f"$3/{debian_package.FOLDER_IN_PACKAGE}"
DOWNLOAD = "echo package > dataset-fashion-mnist_1_all.deb"
MISSING = "echo 'E: Unable to locate package dataset-fashion-mnist'; exit 100"
DEAD = "echo 'W: Failed to fetch http://mirror/InRelease  Connection refused'; echo 'W: Some index files failed'"


class Handler(http.server.SimpleHTTPRequestHandler):
    """A handler that serves a folder; `answers` has functions that replace single files."""

    answers: ClassVar[dict] = {}

    def do_GET(self) -> None:
        answer = self.answers.get(self.path.lstrip("/"))
        answer(self) if answer else super().do_GET()

    def log_message(self, *args: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    """A server with the `answers` of its handler."""

    daemon_threads, block_on_close = True, False
    answers: dict[str, Callable[[Handler], None]]


def obtain(tmp_path: Path, source: str, progress: Progress | None = None) -> Path:
    folder = tmp_path / "fetched"
    folder.mkdir()
    return sources.obtain(source, folder, progress)


def failure_reason(tmp_path: Path, source: str) -> str:
    """Return the reason with which `obtain` fails, without the remedy after it."""
    with pytest.raises(published_files.NotObtained) as failed:
        obtain(tmp_path, source)
    assert failed.value.exit_status == 1
    line = re.fullmatch(rf"Fashion-MNIST could not be downloaded: (.*)\. {re.escape(REMEDY)}", str(failed.value))
    assert line, failed.value
    return line[1]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def page(handler: Handler) -> None:
    """Send a login page, as a hotel's network does."""
    handler.send_response(200)
    handler.end_headers()
    handler.wfile.write(b"<html>Please log in</html>")


def silence(handler: Handler) -> None:
    time.sleep(30)


def refuse(handler: Handler) -> None:
    handler.send_error(403)


def cut(handler: Handler) -> None:
    """Close the connection in the middle of a file."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(gzip.compress(b"images" * 100)[:20])


def stall(handler: Handler) -> None:
    """Stop sending in the middle of a file."""
    cut(handler)
    time.sleep(30)


def trickle(handler: Handler) -> None:
    """Send a byte every 0.2 s."""
    cut(handler)
    for _ in range(30):
        time.sleep(0.2)
        handler.wfile.write(b".")
