"""The training operator's role on one machine: start a worker group, and restart all of it when one worker dies."""

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from distml.step import network, outcome
from distml.step.machine import LEAST_WORKER_MEMORY, cores, free_memory
from distml.step.progress_bar import say
from distml.training.group import tf_config

GRACE_SECONDS = 10
# How long the other workers may run after one fails, and after one succeeds. The first wait is for the exit status of
# the worker that caused the failure: its peers may end before it does.
SECONDS_AFTER_A_FAILURE = 2
SECONDS_AFTER_A_SUCCESS = 6 * GRACE_SECONDS
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class GivenUp(outcome.StepError):
    """The group failed again after its last restart; a retry may succeed."""

    exit_status = 1


def check_workers(workers: int) -> None:
    """Refuse more workers than this machine's memory can hold, since the machine would freeze.

    Raises:
        StepError: the minimum memory of the workers is more than the free memory.
    """
    free = free_memory()
    if free is not None and workers * LEAST_WORKER_MEMORY > free:
        raise outcome.StepError(
            f"{workers} workers need at least {workers * LEAST_WORKER_MEMORY:,.1f} GiB of memory, but only"
            f" {free:.1f} GiB are free; lower --workers (make run WORKERS=...) or end other programs"
        )


def run_worker_group(command: Sequence[str], workers: int, restarts: int, keep_open: Sequence[int] = ()) -> None:
    """Run `command` in `workers` processes, each with the TF_CONFIG that a TFJob would set.

    Args:
        command: program and arguments, the same for every worker.
        workers: number of processes; a single worker gets no TF_CONFIG, as in a TFJob.
        restarts: how often the whole group may be restarted.
        keep_open: file descriptors that the workers inherit.

    Raises:
        StepError: a worker refused its input (status 2).
        GivenUp: the group failed again after its last restart.
    """
    for left in range(restarts, -1, -1):
        statuses = _run_once(command, workers, keep_open)
        failed = {index: status for index, status in enumerate(statuses) if status}
        if not failed:
            return
        if outcome.StepError.exit_status in failed.values():
            raise outcome.StepError("a worker refused its input; its message is above")
        ends = ", ".join(f"worker {index} {_describe(status)}" for index, status in failed.items())
        if left:
            say(f"{ends}; restarting all {workers} workers from the last checkpoint")
    raise GivenUp(f"{ends}; giving up after {restarts} restarts")


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
            say(f"{late} did not end within {SECONDS_AFTER_A_SUCCESS} s after a peer succeeded; terminating")
            _stop(processes)
            statuses = [worker.poll() for worker in processes]
        return [status or 0 for status in statuses]
    finally:
        with _signals_ignored():  # a second Ctrl-C would leave workers behind
            _stop(processes)


def _wait(processes: Sequence[subprocess.Popen]) -> None:
    """Wait until all workers have ended, or until the time limit after the first end is over."""
    deadline = math.inf
    while None in (statuses := [worker.poll() for worker in processes]) and time.monotonic() < deadline:
        if any(statuses):
            deadline = min(deadline, time.monotonic() + SECONDS_AFTER_A_FAILURE)
        elif 0 in statuses:
            deadline = min(deadline, time.monotonic() + SECONDS_AFTER_A_SUCCESS)
        time.sleep(0.1)


def _environments(workers: int) -> list[dict[str, str]]:
    """Return one environment per worker, with ports that are free at this moment."""
    share = max(1, len(cores()) // workers)
    common = {**os.environ, "TF_NUM_INTRAOP_THREADS": str(share), "TF_NUM_INTEROP_THREADS": str(share)}
    for inherited in ("TF_CONFIG", tf_config.JOB_INDEX):
        common.pop(inherited, None)
    if workers == 1:
        return [common]
    addresses = tuple(network.free_addresses(workers))
    return [{**common, "TF_CONFIG": tf_config.WorkerGroup(addresses, index).tf_config()} for index in range(workers)]


def _pin(pid: int, index: int, workers: int) -> None:
    """Give each worker its own cores, if there are enough: the kernel does not always spread the workers."""
    own = cores()
    share = len(own) // workers
    if share and sys.platform == "linux":
        os.sched_setaffinity(pid, own[index * share : (index + 1) * share])


@contextmanager
def _signals_ignored() -> Iterator[None]:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in STOP_SIGNALS}
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
