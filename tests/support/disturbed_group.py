"""A real training by two workers whose connections pass through a proxy, which can cut them.

A process of its own plays the launcher of `local_pipeline`. SIGUSR1 cuts the connections between the workers, and
SIGUSR2 silences them: they stay open, and nothing arrives.

    python -m support.disturbed_group SCRIPT OPTION …
"""

import contextlib
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import psutil

from distml.model import manifest
from distml.step import network
from distml.step.volume import Volume
from distml.training.group import local_launcher
from support.project import ROOT, SOURCE

WORKERS = 2
RESTARTS = 3
# Fewer than the launcher's own, so that a worker that stays stopped after its peer's success does not cost a minute.
SECONDS_AFTER_A_SUCCESS = 10
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


# Dropout has most to lose by a restart, after which its random numbers must go on.
MODEL, EPOCHS = "dropout", 3
OPTIONS = ("--model", MODEL, "--epochs", EPOCHS, "--train-images", 1280, "--start-timeout", 40, "--stall-timeout", 30)
SCRIPT = SOURCE / "multi_worker_distributed_training.py"
WEIGHTS = "variables/variables.data-00000-of-00001"


class Proxy:
    """A proxy for the connections to one worker, which refuses them until the worker listens."""

    def __init__(self, target: str) -> None:
        self._target = network.host_and_port(target)
        self._connections: list[socket.socket] = []
        self._silent = False
        host = network.loopback()
        self._listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._listener.bind((host, 0))
        self.address = network.format_address(host, self._listener.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while not self._listens():
            time.sleep(0.05)
        self._listener.listen(128)
        while True:
            client, _ = self._listener.accept()
            try:
                worker = socket.create_connection(self._target)
            except OSError:
                client.close()
                continue
            self._connections += [client, worker]
            for source, target in ((client, worker), (worker, client)):
                threading.Thread(target=self._forward, args=(source, target), daemon=True).start()

    def _listens(self) -> bool:
        try:
            socket.create_connection(self._target, timeout=2).close()
        except OSError:
            return False
        return True

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(1 << 18):
                if not self._silent:
                    target.sendall(content)
        if not self._silent:
            with contextlib.suppress(OSError):
                target.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """Reset every connection."""
        connections, self._connections = self._connections, []
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def silence(self) -> None:
        """Let nothing through any more, without closing a connection."""
        self._silent = True


def through_proxies(environments: list[dict[str, str]], proxies: list[Proxy]) -> None:
    """Let each worker reach its peers through new proxies, which replace those in the list."""
    configs = [json.loads(environment["TF_CONFIG"]) for environment in environments]
    addresses = configs[0]["cluster"]["worker"]
    proxies[:] = [Proxy(address) for address in addresses]
    for index, (environment, config) in enumerate(zip(environments, configs, strict=True)):
        seen = [address if peer == index else proxies[peer].address for peer, address in enumerate(addresses)]
        environment["TF_CONFIG"] = json.dumps({**config, "cluster": {"worker": seen}})


def main(*command: str) -> None:
    proxies: list[Proxy] = []
    environments_of = local_launcher._environments

    def environments(workers: int) -> list[dict[str, str]]:
        made = environments_of(workers)
        through_proxies(made, proxies)
        return made

    local_launcher._environments = environments
    local_launcher.SECONDS_AFTER_A_SUCCESS = SECONDS_AFTER_A_SUCCESS

    def disturb(number: int, _: object) -> None:
        for proxy in proxies:
            if number == signal.SIGUSR1:
                proxy.cut()
            else:
                proxy.silence()

    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, disturb)
    print("ready", flush=True)
    local_launcher.run_worker_group([sys.executable, *command], WORKERS, RESTARTS)


class DisturbedGroup:
    """The launcher's process and its output, line by line; the constructor waits until it listens to signals."""

    def __init__(self, *options: object, **environment: str) -> None:
        command = [sys.executable, "-m", "support.disturbed_group", str(SCRIPT), *map(str, options)]
        paths = {"PYTHONPATH": f"{SOURCE}:{ROOT / 'tests'}"}
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **paths, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.wait_for("ready", 60)

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def count(self, pattern: str) -> int:
        """Return the number of lines that contain the regular expression."""
        return sum(bool(re.search(pattern, line)) for line in self.lines)

    def wait_for(self, pattern: str, seconds: float) -> None:
        """Wait until a line contains the regular expression, or the group has ended."""
        until = time.monotonic() + seconds
        while self.running and not self.count(pattern) and time.monotonic() < until:
            time.sleep(0.01)

    def workers(self) -> list[psutil.Process]:
        """Return the workers that are there at this moment, in order."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children()
        return []

    def end(self, seconds: float) -> int | None:
        """Wait for the end and return the exit status; None if the group had to be killed after `seconds`."""
        status = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = self.process.wait(seconds)
        for process in (*self.workers(), self.process):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        self._reader.join(5)
        return status


def start(volume: Volume, run: str, **environment: str) -> DisturbedGroup:
    """Start the training of a run."""
    return DisturbedGroup("--volume", volume, "--run", run, *OPTIONS, **environment)


def result(volume: Volume, run: str) -> tuple[str, list[float]]:
    """Return the hash of the candidate's weights, after all its files verified, and the loss of each epoch."""
    found = manifest.verified(volume.candidate(run, MODEL, 1))
    return found["files"][WEIGHTS], [epoch["loss"] for epoch in found["metrics"]["history"]]


if __name__ == "__main__":
    main(*sys.argv[1:])
