"""Stand-ins for tests: a machine without Debian's package, a server, and an apt-get."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from distml.data import debian_package, download, sources
from support.data_sources import APT_GET, DOWNLOAD, LISTED, UNPACKED, Handler, Server, closed_port
from support.local_server import running


@pytest.fixture
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the folder of Debian's package, and use no proxy for the tests' servers."""
    monkeypatch.setattr(sources, "DEBIAN_FOLDER", tmp_path / "not-installed")
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the deadlines for tests that reach them."""
    monkeypatch.setattr(download, "PROBE_SECONDS", 1)
    monkeypatch.setattr(download, "STALL_SECONDS", 0.5)
    monkeypatch.setattr(debian_package, "FIRST_BYTE_SECONDS", 0.5)
    monkeypatch.setattr(debian_package, "STALL_SECONDS", 1)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, small_source: Path) -> Iterator[Server]:
    """Serve `small_source` in place of the public server; tests add other answers to the dictionary `answers`."""
    answers: dict = {}
    handler = type("Handler", (Handler,), {"answers": answers})
    server = Server(("127.0.0.1", 0), partial(handler, directory=str(small_source)))
    server.answers = answers
    monkeypatch.setattr(download, "URL", f"http://127.0.0.1:{server.server_port}/")
    with running(server):
        yield server


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the public server unreachable."""
    monkeypatch.setattr(download, "URL", f"http://127.0.0.1:{closed_port()}/")


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_source: Path) -> Callable[..., None]:
    """Install a fake apt-get whose package has the files of `small_source`; return a function that sets its actions."""
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")

    def install(
        update: str = "echo list > lists/list", listed: str = LISTED, download: str = DOWNLOAD, unpack: str = "true"
    ) -> None:
        script = APT_GET.format(update=update, listed=listed, download=download)
        extract = f'#!/bin/sh\nmkdir -p "{UNPACKED}" && cp "{small_source}"/* "{UNPACKED}" && {unpack}\n'
        for name, text in (("apt-get", script), ("dpkg-deb", extract)):
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)

    install()
    return install
