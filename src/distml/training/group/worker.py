"""One worker of a group: its connection to the peers, and its end when a peer is lost or the operator stops the worker.

Only the whole group can restart. A worker therefore never waits for ever: it ends, and the operator or the local
launcher restarts all workers.
"""

from distml.step.load_tensorflow import tf

import faulthandler
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distml.step import machine, network, outcome
from distml.step.progress_bar import say, working
from distml.training.group.tf_config import WorkerGroup

RETRY_SECONDS = 0.2
# TensorFlow's errors in a worker whose peer ended, or was replaced while the worker connected.
LOST_PEER_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.FailedPreconditionError,
)


class PortTaken(outcome.StepError):
    """Another process uses this worker's port; a retry may succeed, since a restarted local group gets other ports."""

    exit_status = 1


def end(message: str, status: int) -> None:
    """Print one line and exit at once: threads that wait for a peer inside TensorFlow cannot be stopped."""
    outcome.write_line(sys.stderr, message)
    sys.stdout.flush()
    outcome.call_failure_callbacks(message, status)
    os._exit(status)


def end_on_sigterm() -> None:
    """Exit with status 143 on SIGTERM, even as process 1 and while the main thread is inside TensorFlow.

    Python runs signal handlers between two bytecodes of the main thread, which is too late for a worker that waits for
    a peer. But the interpreter writes the signal's number into a pipe at once, and a thread reads that pipe.
    """
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write)
    signal.signal(signal.SIGTERM, lambda *_: None)

    def wait() -> None:
        while os.read(read, 1)[0] != signal.SIGTERM:
            pass
        end("worker: ended by SIGTERM; a restarted job resumes from its last checkpoint", outcome.TERMINATED)

    threading.Thread(target=wait, name="sigterm", daemon=True).start()


class Watchdog:
    """A thread that ends the process when a block of code takes too long."""

    def __init__(self) -> None:
        self._waits: list[tuple[float, str, int]] = []
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    @contextmanager
    def bound(self, seconds: float, activity: str, status: int = 1) -> Iterator[None]:
        """End the process with `status`, and name the `activity`, unless the block ends within `seconds`."""
        message = f"{activity} took longer than {seconds:.0f} s; the job has to be restarted"
        wait = (time.monotonic() + seconds, message, status)
        self._waits.append(wait)
        try:
            yield
        finally:
            self._waits.remove(wait)

    def _watch(self) -> None:
        while True:
            time.sleep(0.5)
            for deadline, message, status in tuple(self._waits):
                if time.monotonic() > deadline:
                    end(f"worker: {message}", status)


@contextmanager
def ending_on_tensorflow_errors(index: int) -> Iterator[None]:
    """End worker `index` with one line if TensorFlow fails: with status 5 if it lost a peer, else with 1."""
    try:
        yield
    except tf.errors.OpError as error:
        if disk_error := outcome.disk_error_behind(error):
            end(f"worker: {outcome.describe_os_error(disk_error)[0]}", 1)
        if isinstance(error, LOST_PEER_ERRORS):
            end(f"worker {index}: lost a peer: {reason_of(error)}", outcome.LOST_PEER)
        end(f"worker {index}: TensorFlow failed: {reason_of(error)}", 1)


def reason_of(error: tf.errors.OpError) -> str:
    """Return the first line of the message that says what failed, after its heading and its indented traceback."""
    lines = [line for line in (error.message or type(error).__name__).splitlines() if line.strip()]
    headings = ("Graph execution error:", "Detected at node", " ", "\t")
    return next((line for line in lines if not line.startswith(headings)), lines[0])[:300]


def wait_for_peers(group: WorkerGroup) -> None:
    """Listen on this worker's port, and wait until every peer has accepted a connection.

    TensorFlow waits too, but for an hour and holding the interpreter lock: neither a deadline nor SIGTERM would be
    noticed. After this wait, TensorFlow connects at once. If a worker of a former group accepted the connection,
    TensorFlow fails, and all workers restart.

    Raises:
        PortTaken: this worker cannot listen.
    """
    _, port = network.host_and_port(group.addresses[group.index])
    try:
        listener = network.listen(port)
    except OSError as error:
        raise PortTaken(
            f"cannot listen on this worker's port {port} ({network.reason(error)}); is the worker running twice?"
        ) from error
    with listener:
        for index, address in enumerate(group.addresses):
            if index != group.index:
                say(f"worker {group.index}: waiting for worker {index} at {address}")
                with working(f"waiting for worker {index}"):
                    while not _listens(address):
                        time.sleep(RETRY_SECONDS)


def _listens(address: str) -> bool:
    """Return whether a process accepts connections at `address`; False if the name does not resolve (yet)."""
    try:
        socket.create_connection(network.host_and_port(address), timeout=2).close()
    except OSError:
        return False
    return True


def join_worker_group(
    group: WorkerGroup, watchdog: Watchdog, seconds: float
) -> tf.distribute.MultiWorkerMirroredStrategy:
    """Wait for all workers, then create the strategy that connects them; each may take `seconds`."""
    network.use_no_proxy()  # training downloads nothing and connects only to its peers
    options = _communication_options(group)
    if group.addresses:
        with watchdog.bound(seconds, f"waiting for all {group.size} workers to start", outcome.LOST_PEER):
            wait_for_peers(group)
        say(f"worker {group.index}: all {group.size} workers are there; connecting within {seconds:.0f} s")
        os.environ["TF_CONFIG"] = group.tf_config()  # TensorFlow reads it, whatever described the group
    else:
        os.environ.pop("TF_CONFIG", None)  # TensorFlow fails on an empty value
    # TensorFlow holds the interpreter lock while it connects. If a peer dies now, no Python thread can notice: only
    # faulthandler's own thread can end the process. Its stack dump is of no use to the user.
    with Path(os.devnull).open("w") as null_device, working("connecting the workers"):
        faulthandler.dump_traceback_later(seconds, exit=True, file=null_device)
        strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
        faulthandler.cancel_dump_traceback_later()
    # TensorFlow has replaced Python's handler of SIGTERM with one that only notes the signal: set Python's again.
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
    return strategy


def _communication_options(group: WorkerGroup) -> tf.distribute.experimental.CommunicationOptions:
    """Choose NCCL if this worker has a GPU; otherwise RING, since the automatic choice is slower on CPU.

    A worker is one replica: several workers on one machine use one GPU each.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        tf.config.set_visible_devices(gpus[group.index % len(gpus)], "GPU")
    collectives = tf.distribute.experimental.CommunicationImplementation
    return tf.distribute.experimental.CommunicationOptions(
        implementation=collectives.NCCL if gpus else collectives.RING
    )


def hardware() -> dict[str, str | int]:
    """Return the instruction set and the threads of this worker: they change the last bits of the weights."""
    threads = tf.config.threading.get_intra_op_parallelism_threads() or int(os.environ.get("TF_NUM_INTRAOP_THREADS", 0))
    return {"instruction_set": machine.instruction_set(), "threads": threads or len(machine.cores())}
