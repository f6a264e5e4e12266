"""Connections between the pipeline's processes: IPv4 and IPv6 addresses, listening, and no proxy."""

import errno
import ipaddress
import os
import re
import socket

HOST_NAME = re.compile(r"([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?")
# Errors of a system without IPv6, or with IPv6 disabled.
WITHOUT_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)


def format_address(host: str, port: int) -> str:
    """Return `host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def host_and_port(address: str) -> tuple[str, int]:
    """Split `host:port` or `[IPv6 address]:port`; the returned host has no brackets.

    Raises:
        ValueError: the address has another form.
    """
    host, _, port = address.rpartition(":")
    if not (re.fullmatch("[0-9]{1,5}", port) and 1 <= int(port) <= 65_535):
        raise ValueError(f"{address!r} is not host:port, with a port from 1 to 65535")
    if HOST_NAME.fullmatch(host):
        return host, int(port)
    if not (host.startswith("[") and host.endswith("]")):
        remedy = "; put an IPv6 address in brackets, as in [::1]:2222" if ":" in host else ""
        raise ValueError(f"{address!r} is not host:port{remedy}")
    try:
        return str(ipaddress.IPv6Address(host[1:-1])), int(port)
    except ValueError:
        raise ValueError(f"{address!r} has no IPv6 address in its brackets") from None


def listen(port: int) -> socket.socket:
    """Listen on every address of this machine, IPv4 and IPv6 if it has both.

    Raises:
        OSError: the port is in use, or forbidden to this user.
    """
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=128)
        except OSError as error:
            if error.errno not in WITHOUT_IPV6:
                raise
    return socket.create_server(("", port), backlog=128)


def listen_at(host: str, port: int) -> list[socket.socket]:
    """Listen on each address of `host`, or on every address of this machine if `host` is empty.

    Raises:
        OSError: the port is in use, or forbidden to this user; or this machine has no such address.
    """
    if not host:
        return [listen(port)]
    listeners: list[socket.socket] = []
    missing: OSError | None = None
    for family, address in dict.fromkeys(
        (family, address[0]) for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    ):
        try:
            listeners.append(socket.create_server((str(address), port), family=family, backlog=128))
        except OSError as error:
            if error.errno not in WITHOUT_IPV6:  # `localhost` often is an IPv6 address too, on machines without IPv6
                for listener in listeners:
                    listener.close()
                raise
            missing = error
    if missing and not listeners:
        raise missing
    return listeners


def free_addresses(count: int) -> list[str]:
    """Return `count` loopback addresses with ports that are free now, on IPv6 if the machine has no IPv4."""
    listeners = [listen(0) for _ in range(count)]
    addresses = [format_address(loopback(), listener.getsockname()[1]) for listener in listeners]
    for listener in listeners:
        listener.close()
    return addresses


def loopback() -> str:
    """Return the loopback address: 127.0.0.1, or ::1 on a machine without IPv4."""
    try:
        socket.create_server(("127.0.0.1", 0)).close()
    except OSError:
        return "::1"
    return "127.0.0.1"


def use_no_proxy() -> None:
    """Remove the proxy variables from the environment, so that this process connects to its hosts directly.

    gRPC, in TensorFlow and in the client, reads the variables when it connects. A proxy cannot reach loopback or names
    inside a cluster.
    """
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("GRPC_ADDRESS_HTTP_PROXY"):
            del os.environ[name]


def reason(error: OSError) -> str:
    """Return the system's text for `error`, without the address that `create_server` adds."""
    return os.strerror(error.errno) if error.errno else str(error)
