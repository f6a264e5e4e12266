"""A group of workers of bench/growth.py on one machine, each pinned to a core."""

import json
import os
import statistics
import subprocess
import sys
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from scaling.network import Network, free_port

from distml.step import machine

SCRIPT = Path(__file__).with_name("worker.py")
SECONDS = 300  # the time limit of one request, the workers' start included


class Group(AbstractContextManager):
    """Running workers: peers through the proxies of `network`, or workers without peers if there is none.

    With more workers than cores, several workers share a core.
    """

    def __init__(self, volume: Path, workers: int, network: Network | None = None):
        self._workers = []
        cores, ports = machine.cores(), [free_port() for _ in range(workers)]
        threads = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "OMP_NUM_THREADS": "1"}
        for index in range(workers):
            environment = {**os.environ, **threads, "TF_CPP_MIN_LOG_LEVEL": "3"}
            environment.pop("TF_CONFIG", None)
            if network:
                reached = [port if peer == index else network.proxy_to(port) for peer, port in enumerate(ports)]
                cluster = {"worker": [f"127.0.0.1:{port}" for port in reached]}
                task = {"type": "worker", "index": index}
                environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})
            pipe = subprocess.PIPE
            command = [sys.executable, str(SCRIPT), str(volume)]
            worker = subprocess.Popen(
                command, env=environment, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
            )
            os.sched_setaffinity(worker.pid, {cores[index % len(cores)]})
            self._workers.append(worker)
        self._answers()

    def __exit__(self, *_: object) -> None:
        self._kill()
        for worker in self._workers:
            worker.communicate()

    def ask(self, name: str, **arguments: Any) -> list[dict[str, Any]]:
        """Send one request to all workers; return their answers."""
        for worker in self._workers:
            print(json.dumps([name, arguments]), file=worker.stdin, flush=True)
        return self._answers()

    def _answers(self) -> list[dict[str, Any]]:
        limit = threading.Timer(SECONDS, self._kill)
        limit.start()
        try:
            return [self._answer(worker) for worker in self._workers]
        finally:
            limit.cancel()

    def _kill(self) -> None:
        for worker in self._workers:
            worker.kill()

    def _answer(self, worker: subprocess.Popen[str]) -> dict[str, Any]:
        for line in worker.stdout or ():
            if line.startswith("{"):
                return json.loads(line)
        self.__exit__()
        sys.exit(f"bench/{SCRIPT.parent.name}/{SCRIPT.name} ended early or took over {SECONDS} s; run it by hand")


def spread_of(answers: list[dict[str, Any]]) -> dict[str, float]:
    """Return median, least and most of the milliseconds of all workers' blocks."""
    values = [value for answer in answers for value in answer["milliseconds"]]
    return {
        "milliseconds": round(statistics.median(values), 3),
        "least": round(min(values), 3),
        "most": round(max(values), 3),
    }
