"""The network between workers on one machine: Toxiproxy delays each connection and limits its rate.

Each worker reaches each peer through a proxy of its own, so its TF_CONFIG has its own real address and the peers'
proxies. Toxiproxy reads, waits and writes: a stream is delayed once, not once per piece of it. Its timers are late by
some tenths of a millisecond, so `measure` measures each link's delay and rate by plain sockets.
"""

import json
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

PROGRAM = "toxiproxy-server"
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever proxy the environment names
# Toxiproxy counts kilobytes of 1,000 bytes per second.
KILOBYTES_PER_MEGABIT = 125
PROBE_BYTES = 250_000
PROBES = 60


@dataclass(frozen=True)
class Link:
    """A link as it is asked for: one-way latency in ms, Mbit/s in each direction (None is unlimited)."""

    latency_ms: int
    megabits: int | None


class Network(AbstractContextManager):
    """A running Toxiproxy and its proxies."""

    def __init__(self) -> None:
        program = find_program()
        self._port = free_port()
        self._names: list[str] = []
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen([program, "-port", str(self._port)], stdout=quiet, stderr=quiet)
        for _ in range(100):
            try:
                self._call("GET", "/version")
                return
            except OSError:
                time.sleep(0.1)
        self._process.kill()
        sys.exit(f"bench/growth.py: {program} did not answer on port {self._port}; run it by hand to see why")

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def proxy_to(self, port: int) -> int:
        """Create a proxy to a port of this machine; return the proxy's port."""
        own, name = free_port(), str(len(self._names))
        proxy = {"name": name, "listen": f"127.0.0.1:{own}", "upstream": f"127.0.0.1:{port}", "enabled": True}
        self._call("POST", "/proxies", proxy)
        self._names.append(name)
        return own

    def set(self, link: Link) -> None:
        """Give all connections, those that are open too, this latency and rate in both directions."""
        self._call("POST", "/reset")
        # The order counts: the rate's waits would otherwise be taken for a part of the latency.
        toxics: list[tuple[str, dict[str, int]]] = []
        if link.latency_ms:
            toxics.append(("latency", {"latency": link.latency_ms}))
        if link.megabits is not None:
            toxics.append(("bandwidth", {"rate": link.megabits * KILOBYTES_PER_MEGABIT}))
        for name in self._names:
            for kind, attributes in toxics:
                for stream in ("upstream", "downstream"):
                    toxic = {"name": f"{kind} {stream}", "type": kind, "stream": stream, "attributes": attributes}
                    self._call("POST", f"/proxies/{name}/toxics", toxic)

    def measure(self, latencies: tuple[int, ...], rates: tuple[int | None, ...]) -> dict[Link, dict[str, Any]]:
        """Measure each link by plain sockets; return its one-way delay in ms and its bytes per ms (None: unlimited).

        The delay is half the round trip of a small message. A rate follows from how much longer a large message takes
        than on an unlimited link.
        """
        with socket.create_server(("127.0.0.1", 0)) as listener:
            threading.Thread(target=answer, args=(listener,), daemon=True).start()
            with connect(self.proxy_to(listener.getsockname()[1])) as connection:
                delays = {}
                for latency in latencies:
                    self.set(Link(latency, None))
                    delays[latency] = round(round_trip_ms(connection, 8) / 2, 4)
                self.set(Link(0, None))
                unlimited = round_trip_ms(connection, PROBE_BYTES)
                speeds: dict[int | None, float | None] = {None: None}
                for megabits in rates:
                    if megabits is not None:
                        self.set(Link(0, megabits))
                        speeds[megabits] = round(PROBE_BYTES / (round_trip_ms(connection, PROBE_BYTES) - unlimited), 1)
        return {
            Link(latency, megabits): {"delay_ms": delays[latency], "bytes_per_ms": speeds[megabits]}
            for megabits in rates
            for latency in latencies
        }

    def _call(self, method: str, path: str, body: dict | None = None) -> None:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", data, method=method)
        DIRECTLY.open(request, timeout=10).close()


def find_program() -> str:
    """Return the path of Toxiproxy's server; exit if it is not installed."""
    program = shutil.which(PROGRAM)
    if program is None:
        sys.exit(
            f"bench/growth.py: {PROGRAM} is not on the PATH; install Toxiproxy: `brew install toxiproxy`, or"
            " `go install github.com/Shopify/toxiproxy/v2/cmd/server@latest`, and rename `server` in"
            f" `$(go env GOPATH)/bin` to `{PROGRAM}`"
        )
    return program


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def answer(listener: socket.socket) -> None:
    """Accept one connection, and answer each eight-digit number with that many bytes."""
    connection, _ = listener.accept()
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while request := connection.recv(8, socket.MSG_WAITALL):
            connection.sendall(bytes(int(request)))


def round_trip_ms(connection: socket.socket, size: int) -> float:
    """Return the median milliseconds from a small request to the last of `size` bytes of its answer."""
    milliseconds = []
    for _ in range(PROBES):
        started = time.perf_counter()
        connection.sendall(b"%08d" % size)
        connection.recv(size, socket.MSG_WAITALL)
        milliseconds.append(1000 * (time.perf_counter() - started))
    return statistics.median(milliseconds)
