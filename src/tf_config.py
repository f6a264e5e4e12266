"""The gang as a TFJob describes it to each worker in the environment variable TF_CONFIG, and the wait for its peers."""

import json
import os
import socket
import time
from dataclasses import dataclass

import step
from progress_bar import say, working

RETRY_SECONDS = 0.2


class PortTaken(step.StepError):
    """Somebody else has this worker's port: no wrong input, as the next gang on one machine gets other ports."""

    exit_status = 1


@dataclass(frozen=True)
class TFConfig:
    """`addresses`: "host:port" of every worker, the Chief (if there is one) first; `index`: this worker's place."""

    addresses: tuple[str, ...]
    index: int


def read() -> TFConfig | None:
    """The gang that TF_CONFIG names; None without it, as for a TFJob of one worker.

    Raises:
        StepError: TF_CONFIG is not what a TFJob sets, or an address in it is none.
    """
    text = os.environ.get("TF_CONFIG", "").strip()
    if not text:
        return None
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        chiefs, workers = cluster.get("chief", []), cluster.get("worker", [])
        index = int(task["index"]) + (0 if task["type"] == "chief" else len(chiefs))
        gang = TFConfig((*chiefs, *workers), index)
        if not 0 <= gang.index < len(gang.addresses):
            raise ValueError(f"there is no worker {gang.index}")
        for address in gang.addresses:
            _host_and_port(address)
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise step.StepError(
            f"TF_CONFIG is not the JSON that a TFJob sets ({type(error).__name__}: {error}); expected"
            ' {"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}'
        ) from error
    return gang


def wait_for_peers(gang: TFConfig) -> None:
    """Return when every worker of the gang has been seen listening; this one listens meanwhile.

    TensorFlow waits too, for an hour and with the interpreter locked, so that neither a deadline nor SIGTERM would be
    noticed; after this wait it has all peers at once. A connection that a peer of a former gang accepts does no harm:
    TensorFlow then fails, and all workers start again.

    Raises:
        PortTaken: this worker cannot listen.
    """
    _, port = _host_and_port(gang.addresses[gang.index])
    try:
        listener = socket.create_server(("", port), backlog=128)
    except OSError as error:
        raise PortTaken(
            f"cannot listen on this worker's port {port} ({error.strerror}); is it running twice?"
        ) from error
    with listener:
        for index, address in enumerate(gang.addresses):
            if index != gang.index:
                say(f"worker {gang.index}: waiting for worker {index} at {address}")
                with working(f"waiting for worker {index}"):
                    while not _listens(address):
                        time.sleep(RETRY_SECONDS)


def _listens(address: str) -> bool:
    """Whether something accepts connections there; a name that does not resolve (yet) counts as no."""
    try:
        socket.create_connection(_host_and_port(address), timeout=2).close()
    except OSError:
        return False
    return True


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal() and 1 <= int(port) <= 65_535):
        raise ValueError(f"{address!r} is not host:port")
    return host, int(port)
