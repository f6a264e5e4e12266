"""Downloads, mostly from a server or through a network that fails."""

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from distml.data import download, published_files
from support.data_sources import (
    FIRST,
    IMAGES,
    Server,
    closed_port,
    cut,
    failure_reason,
    obtain,
    page,
    refuse,
    silence,
    stall,
    trickle,
)

pytestmark = pytest.mark.usefixtures("bare_machine")


def test_a_download_is_checked_and_reports_its_progress(tmp_path: Path, server: Server, small_source: Path) -> None:
    arrived = []
    folder = obtain(tmp_path, "download", lambda done, total: arrived.append((done, total)))
    sizes = {name: (small_source / name).stat().st_size for name in published_files.FILES}
    assert {name: (folder / name).stat().st_size for name in published_files.FILES} == sizes
    assert arrived[-1] == (sum(sizes.values()), 30_878_645)


@pytest.mark.parametrize(
    ("name", "answer", "reason"),
    [
        (FIRST, refuse, "127.0.0.1: HTTP status 403"),
        (
            FIRST,
            page,
            f"the answer from URL{FIRST} cannot be decompressed (Not a gzipped file (b'<h')); fetch it again",
        ),
        (IMAGES, refuse, "127.0.0.1: HTTP status 403"),
        (
            IMAGES,
            cut,
            f"the answer from URL{IMAGES} cannot be decompressed (Compressed file ended before the end-of-stream"
            " marker was reached); fetch it again",
        ),
    ],
)
def test_a_failed_download_gives_the_reason(
    tmp_path: Path, server: Server, name: Any, answer: Any, reason: str
) -> None:
    server.answers[name] = answer
    assert failure_reason(tmp_path, "download") == reason.replace("URL", download.URL)


@pytest.mark.parametrize(("name", "answer"), [(FIRST, silence), (FIRST, trickle), (IMAGES, stall)])
def test_a_download_that_stalls_is_given_up(
    tmp_path: Path, server: Server, short_waits: None, name: Any, answer: Any
) -> None:
    server.answers[name] = answer
    assert failure_reason(tmp_path, "download") == "127.0.0.1: no answer in time"


def test_the_error_about_a_refused_connection_names_the_server(tmp_path: Path, unreachable: None) -> None:
    assert failure_reason(tmp_path, "download") == "127.0.0.1: Connection refused"


def test_a_download_from_a_server_that_never_accepts_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_waits: None
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(3)]  # they fill the queue, so that the next client gets no answer
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        monkeypatch.setattr(download, "URL", f"http://127.0.0.1:{listener.getsockname()[1]}/")
        assert failure_reason(tmp_path, "download") == "127.0.0.1: no answer in time"
        for client in waiting:
            client.close()


def test_a_download_from_a_name_that_never_resolves_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short_waits: None
) -> None:
    never = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: never.wait(30) or [])
    monkeypatch.setattr(download, "URL", "http://nowhere.invalid/")
    assert failure_reason(tmp_path, "download") == "nowhere.invalid: no answer in time"
    never.set()


def test_the_error_about_a_refused_proxy_connection_names_the_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    assert failure_reason(tmp_path, "download") == "127.0.0.1 through the proxy in http_proxy: Connection refused"


def test_a_full_disk_during_a_download_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError, match="No space left on device") as failed:
        obtain(tmp_path, "auto")
    assert failed.value.filename == str(tmp_path / "fetched" / FIRST)
