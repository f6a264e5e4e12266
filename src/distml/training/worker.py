"""One worker of a group: how it joins the others, and how it ends when they, or the operator, want it to.

Only the whole group can restart, so a worker never waits for ever: it ends, and whoever started it starts all again.
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

from distml.step import network, outcome
from distml.step.progress_bar import say, working
from distml.training.tf_config import WorkerGroup

RETRY_SECONDS = 0.2


class PortTaken(outcome.StepError):
    """Somebody else has this worker's port: no wrong input, as the next group on one machine gets other ports."""

    exit_status = 1


def end(message: str, status: int) -> None:
    """Print one line and leave at once; threads that wait for a peer inside TensorFlow cannot be asked to stop."""
    outcome.write_line(sys.stderr, message)
    sys.stdout.flush()
    outcome.call_failure_callbacks(message, status)
    os._exit(status)


def end_on_sigterm() -> None:
    """End with status 143 on SIGTERM, also as process 1 and while the main thread is inside TensorFlow.

    Python runs signal handlers between two bytecodes of the main thread, too late for a worker that waits for a
    peer. The interpreter writes the signal's number into a pipe at once; a thread reads it there.
    """
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write)
    signal.signal(signal.SIGTERM, lambda *_: None)

    def wait() -> None:
        while os.read(read, 1)[0] != signal.SIGTERM:
            pass
        end("worker: ended by SIGTERM; a restarted job goes on from its last checkpoint", outcome.TERMINATED)

    threading.Thread(target=wait, name="sigterm", daemon=True).start()


class Watchdog:
    """Ends the process when something does not happen in time."""

    def __init__(self) -> None:
        self._waits: list[tuple[float, str]] = []
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    @contextmanager
    def bound(self, seconds: float, what: str) -> Iterator[None]:
        """The block must end within `seconds`; otherwise the process ends with status 1 and names `what`."""
        wait = (time.monotonic() + seconds, f"{what} took longer than {seconds:.0f} s; the job has to be restarted")
        self._waits.append(wait)
        try:
            yield
        finally:
            self._waits.remove(wait)

    def _watch(self) -> None:
        while True:
            time.sleep(0.5)
            for deadline, message in tuple(self._waits):
                if time.monotonic() > deadline:
                    end(f"worker: {message}", 1)


def wait_for_peers(group: WorkerGroup) -> None:
    """Wait until every other worker of the group has been seen listening; this one listens meanwhile.

    TensorFlow waits too, for an hour and with the interpreter locked, so that neither a deadline nor SIGTERM would be
    noticed; after this wait it has all peers at once. A connection that a worker of a former group accepts does no
    harm: TensorFlow then fails, and all workers start again.

    Raises:
        PortTaken: this worker cannot listen.
    """
    _, port = network.host_and_port(group.addresses[group.index])
    try:
        listener = network.listen(port)
    except OSError as error:
        raise PortTaken(
            f"cannot listen on this worker's port {port} ({network.reason(error)}); is it running twice?"
        ) from error
    with listener:
        for index, address in enumerate(group.addresses):
            if index != group.index:
                say(f"worker {group.index}: waiting for worker {index} at {address}")
                with working(f"waiting for worker {index}"):
                    while not _listens(address):
                        time.sleep(RETRY_SECONDS)


def _listens(address: str) -> bool:
    """Whether something accepts connections there; a name that does not resolve (yet) counts as no."""
    try:
        socket.create_connection(network.host_and_port(address), timeout=2).close()
    except OSError:
        return False
    return True


def join_worker_group(
    group: WorkerGroup, watchdog: Watchdog, seconds: float
) -> tf.distribute.MultiWorkerMirroredStrategy:
    """Wait for all workers of the group, and create the strategy that connects them, each wait at most `seconds`."""
    network.use_no_proxy()  # training downloads nothing, so no connection of this process needs one
    options = _communication_options(group)
    if group.addresses:
        with watchdog.bound(seconds, f"waiting for all {group.size} workers to start"):
            wait_for_peers(group)
        say(f"worker {group.index}: all {group.size} workers are there; connecting within {seconds:.0f} s")
    else:
        os.environ.pop("TF_CONFIG", None)  # TensorFlow would fail to read an empty one
    # A peer may die just now, and TensorFlow connects with the interpreter locked: no Python thread could notice.
    # Only faulthandler's own thread can end the process then; its dump of the stack helps nobody.
    with Path(os.devnull).open("w") as nowhere, working("connecting the workers"):
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        strategy = tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)
        faulthandler.cancel_dump_traceback_later()
    # TensorFlow has put a handler of its own in the place of Python's; it takes note of SIGTERM, and trains on.
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGTERM))
    return strategy


def _communication_options(group: WorkerGroup) -> tf.distribute.experimental.CommunicationOptions:
    """Choose RING on CPU, where the automatic choice is slower, and NCCL when this worker has a GPU.

    A worker is one replica: several workers on one machine take one GPU each.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        tf.config.set_visible_devices(gpus[group.index % len(gpus)], "GPU")
    collectives = tf.distribute.experimental.CommunicationImplementation
    return tf.distribute.experimental.CommunicationOptions(
        implementation=collectives.NCCL if gpus else collectives.RING
    )


def values_of_all(strategy: tf.distribute.Strategy, value: int) -> list[int]:
    """Exchange one int64 per worker; return those of all replicas. It is also a barrier."""
    return _gather(strategy, tf.constant([value], tf.int64)).numpy().tolist()


@tf.function
def _gather(strategy: tf.distribute.Strategy, value: tf.Tensor) -> tf.Tensor:
    def from_all(value: tf.Tensor) -> tf.Tensor:
        return tf.distribute.get_replica_context().all_gather(tf.identity(value), axis=0)

    return strategy.experimental_local_results(strategy.run(from_all, args=(value,)))[0]
