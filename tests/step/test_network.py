"""Listening on both IP families, or on the one that there is."""

import errno
import json
import os
import socket
from collections.abc import Callable
from typing import Any

import pytest

from distml.step import network
from distml.training import local_launcher
from support.network import needs_ipv6


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Lets the system refuse sockets on one address."""
    create = socket.create_server

    def without(refused: str, number: int) -> None:
        def create_server(address: tuple[str, int], **options: Any) -> socket.socket:
            if address[0] == refused:
                raise OSError(number, os.strerror(number))
            return create(address, **options)

        monkeypatch.setattr(socket, "create_server", create_server)

    return without


@needs_ipv6
def test_a_listener_is_reached_by_both_families() -> None:
    with network.listen(0) as listener:
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, listener.getsockname()[1]), timeout=5).close()


@pytest.mark.parametrize("number", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_without_ipv6_it_listens_on_ipv4(machine: Callable[[str, int], None], number: int) -> None:
    machine("::", number)
    with network.listen(0) as listener:
        assert listener.family == socket.AF_INET


def test_a_port_that_may_not_be_taken_is_not_taken_on_ipv4_alone(machine: Callable[[str, int], None]) -> None:
    machine("::", errno.EACCES)
    with pytest.raises(PermissionError):
        network.listen(80)


def test_without_an_ipv4_loopback_the_launcher_takes_ipv6s(machine: Callable[[str, int], None]) -> None:
    machine("127.0.0.1", errno.EADDRNOTAVAIL)
    config = json.loads(local_launcher._environments(2)[1]["TF_CONFIG"])
    assert [address.rpartition(":")[0] for address in config["cluster"]["worker"]] == ["[::1]", "[::1]"]
