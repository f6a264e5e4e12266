"""The network in tests: dead proxies, and tests that need IPv6."""

import socket

import pytest

PROXIES = (
    "http_proxy",
    "https_proxy",
    "grpc_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "GRPC_PROXY",
    "ALL_PROXY",
)
# The environment of a machine that sends every connection to a proxy, which is dead.
DEAD_PROXY = {
    **dict.fromkeys(PROXIES, "http://127.0.0.1:9"),
    "GRPC_ADDRESS_HTTP_PROXY": "127.0.0.1:9",
    "GRPC_ADDRESS_HTTP_PROXY_ENABLED_ADDRESSES": "127.0.0.0/8,::1/128",
    **dict.fromkeys(["no_proxy", "NO_PROXY", "no_grpc_proxy"], ""),
}


def has_ipv6() -> bool:
    """Return whether this machine has an IPv6 loopback."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
