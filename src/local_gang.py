"""Plays the training operator on one machine: starts a gang of workers, and restarts it as a whole when one dies."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

import step

GRACE_SECONDS = 10


def run_gang(command: Sequence[str], workers: int, restarts: int) -> None:
    """Run `command` in `workers` processes, each with the TF_CONFIG that a TFJob would give it.

    Args:
        command: program and arguments, the same for every worker.
        workers: processes; a single one gets no TF_CONFIG, as from the operator.
        restarts: how often the whole gang may be started again.

    Raises:
        StepError: a worker refused its input (status 2), or failures outlasted the restarts.
    """
    for left in range(restarts, -1, -1):
        statuses = _run_once(command, workers)
        failed = {index: status for index, status in enumerate(statuses) if status}
        if not failed:
            return
        if step.StepError.exit_status in failed.values():
            raise step.StepError("the workers refused to start; their message is above")
        first = ", ".join(f"worker {index} {_describe(status)}" for index, status in failed.items())
        if left:
            print(f"{first}; starting all {workers} workers again from the last checkpoint", flush=True)
    raise step.StepError(f"{first}; given up after {restarts} restarts")


def _run_once(command: Sequence[str], workers: int) -> list[int]:
    """Start one gang and wait; as soon as one worker fails, stop the others. Returns the exit statuses."""
    gang: list[subprocess.Popen] = []
    try:
        for environment in _environments(workers):
            gang.append(subprocess.Popen(command, env=environment, start_new_session=True))
            _pin(gang[-1].pid, len(gang) - 1, workers)
        while any(worker.poll() is None for worker in gang) and not any(worker.poll() for worker in gang):
            time.sleep(0.1)
        return [worker.poll() or 0 for worker in gang]
    finally:
        _stop(gang)


def _environments(workers: int) -> list[dict[str, str]]:
    """One environment per worker; their ports are free at this moment."""
    share = max(1, len(_cores()) // workers)
    common = {**os.environ, "TF_NUM_INTRAOP_THREADS": str(share), "TF_NUM_INTEROP_THREADS": str(share)}
    common.pop("TF_CONFIG", None)
    if workers == 1:
        return [common]
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(workers)]
    addresses = [f"127.0.0.1:{listener.getsockname()[1]}" for listener in sockets]
    for listener in sockets:
        listener.close()
    tasks = [{"type": "worker", "index": index} for index in range(workers)]
    return [
        {**common, "TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": task, "environment": "cloud"})}
        for task in tasks
    ]


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else list(range(os.cpu_count() or 1))


def _pin(pid: int, index: int, workers: int) -> None:
    """Give each worker cores of its own, where there are enough: the kernel does not always spread them."""
    cores = _cores()
    share = len(cores) // workers
    if share and sys.platform == "linux":
        os.sched_setaffinity(pid, cores[index * share : (index + 1) * share])


def _stop(gang: Sequence[subprocess.Popen]) -> None:
    for worker in gang:
        if worker.poll() is None:
            worker.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for worker in gang:
        try:
            worker.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def _describe(status: int) -> str:
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
