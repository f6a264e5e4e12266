"""The training operator's part on one machine: start a worker group, and restart all of it when one worker dies."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from distml.step import network, outcome
from distml.step.memory import LEAST_WORKER_MEMORY, free_memory
from distml.step.progress_bar import say

GRACE_SECONDS = 10
# How long the workers may take to end after one has failed, and after one is done. The first wait is for the status of
# the worker that began it: those that lost it may be faster.
SECONDS_AFTER_A_FAILURE = 2
SECONDS_AFTER_A_SUCCESS = 6 * GRACE_SECONDS
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class GivenUp(outcome.StepError):
    """The workers failed too often: their input was right, and another attempt may work."""

    exit_status = 1


def check_workers(workers: int) -> None:
    """Refuse more workers than this machine's memory can hold: it would stand still.

    Raises:
        StepError: even the least that each takes is more than there is.
    """
    free = free_memory()
    if free is not None and workers * LEAST_WORKER_MEMORY > free:
        raise outcome.StepError(
            f"{workers} workers take {workers * LEAST_WORKER_MEMORY:,.1f} GiB at the very least, and {free:.1f} GiB are"
            " free; lower --workers (make run WORKERS=...), or end other programs"
        )


def run_worker_group(command: Sequence[str], workers: int, restarts: int, keep_open: Sequence[int] = ()) -> None:
    """Run `command` in `workers` processes, each with the TF_CONFIG that a TFJob would give it.

    Args:
        command: program and arguments, the same for every worker.
        workers: processes; a single one gets no TF_CONFIG, as from the operator.
        restarts: how often the whole group may be started again.
        keep_open: file descriptors that the workers inherit.

    Raises:
        StepError: a worker refused its input (status 2).
        GivenUp: failures outlasted the restarts.
    """
    for left in range(restarts, -1, -1):
        statuses = _run_once(command, workers, keep_open)
        failed = {index: status for index, status in enumerate(statuses) if status}
        if not failed:
            return
        if outcome.StepError.exit_status in failed.values():
            raise outcome.StepError("the workers refused to start; their message is above")
        first = ", ".join(f"worker {index} {_describe(status)}" for index, status in failed.items())
        if left:
            say(f"{first}; starting all {workers} workers again from the last checkpoint")
    raise GivenUp(f"{first}; given up after {restarts} restarts")


def _run_once(command: Sequence[str], workers: int, keep_open: Sequence[int]) -> list[int]:
    """Start the group and wait; when one worker fails, stop the others. Return the exit statuses."""
    processes: list[subprocess.Popen] = []
    try:
        for environment in _environments(workers):
            processes.append(subprocess.Popen(command, env=environment, start_new_session=True, pass_fds=keep_open))
            _pin(processes[-1].pid, len(processes) - 1, workers)
        _wait(processes)
        statuses = [worker.poll() for worker in processes]
        if None in statuses and not any(statuses):
            late = ", ".join(f"worker {index}" for index, status in enumerate(statuses) if status is None)
            say(f"{late} still runs {SECONDS_AFTER_A_SUCCESS} s after another was done; ending it")
            _stop(processes)
            statuses = [worker.poll() for worker in processes]
        return [status or 0 for status in statuses]
    finally:
        with _signals_ignored():  # a second Ctrl-C would leave workers behind
            _stop(processes)


def _wait(processes: Sequence[subprocess.Popen]) -> None:
    """Return when all have ended, or when the others had their time to end after one had."""
    deadline = math.inf
    while None in (statuses := [worker.poll() for worker in processes]) and time.monotonic() < deadline:
        if any(statuses):
            deadline = min(deadline, time.monotonic() + SECONDS_AFTER_A_FAILURE)
        elif 0 in statuses:
            deadline = min(deadline, time.monotonic() + SECONDS_AFTER_A_SUCCESS)
        time.sleep(0.1)


def _environments(workers: int) -> list[dict[str, str]]:
    """One environment per worker; their ports are free at this moment."""
    share = max(1, len(_cores()) // workers)
    common = {**os.environ, "TF_NUM_INTRAOP_THREADS": str(share), "TF_NUM_INTEROP_THREADS": str(share)}
    common.pop("TF_CONFIG", None)
    if workers == 1:
        return [common]
    addresses = network.free_addresses(workers)
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


@contextmanager
def _signals_ignored() -> Iterator[None]:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(processes: Sequence[subprocess.Popen]) -> None:
    for worker in processes:
        if worker.poll() is None:
            worker.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for worker in processes:
        try:
            worker.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def _describe(status: int) -> str:
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
