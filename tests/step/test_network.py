"""Listening on IPv4 and IPv6, or on the only one that the machine has."""

import errno
import json
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from distml.step import network
from distml.training.group import local_launcher
from support.network import needs_ipv6


@pytest.fixture
def refuse_address(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Return a function that makes the system refuse sockets on one address."""
    create = socket.create_server

    def refuse(host: str, number: int) -> None:
        def create_server(address: tuple[str, int], **options: Any) -> socket.socket:
            if address[0] == host:
                raise OSError(number, os.strerror(number))
            return create(address, **options)

        monkeypatch.setattr(socket, "create_server", create_server)

    return refuse


@needs_ipv6
def test_a_listener_accepts_ipv4_and_ipv6() -> None:
    with network.listen(0) as listener:
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, listener.getsockname()[1]), timeout=5).close()


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_a_listener_without_ipv6_uses_ipv4(refuse_address: Callable[[str, int], None], number: int) -> None:
    refuse_address("::", number)
    with network.listen(0) as listener:
        assert listener.family == socket.AF_INET


def test_a_forbidden_port_is_not_opened_on_ipv4_only(refuse_address: Callable[[str, int], None]) -> None:
    refuse_address("::", errno.EACCES)
    with pytest.raises(PermissionError):
        network.listen(80)


def test_the_launcher_uses_ipv6_without_an_ipv4_loopback(refuse_address: Callable[[str, int], None]) -> None:
    refuse_address("127.0.0.1", errno.EADDRNOTAVAIL)
    config = json.loads(local_launcher._environments(2)[1]["TF_CONFIG"])
    assert [address.rpartition(":")[0] for address in config["cluster"]["worker"]] == ["[::1]", "[::1]"]
