"""The worker group that a TFJob describes in the environment variable TF_CONFIG."""

import json
import os
from dataclasses import dataclass
from typing import Any

from distml.step import network, outcome

JSON_NAMES = {dict: "an object", list: "a list", str: "a string", int: "an integer"}


@dataclass(frozen=True)
class WorkerGroup:
    """All workers of a training, and this worker's index among them; by default, a single worker.

    Attributes:
        addresses: "host:port" of each worker in TensorFlow's order, any Chief first; empty for a single worker.
        index: this worker's place in `addresses`, from 0.
    """

    addresses: tuple[str, ...] = ()
    index: int = 0

    @property
    def size(self) -> int:
        return len(self.addresses) or 1

    @property
    def is_chief(self) -> bool:
        """True for the worker that writes the shared files: the Chief or, in a group without one, worker 0."""
        return self.index == 0


def read() -> WorkerGroup:
    """Return the group that TF_CONFIG describes: a single worker if TF_CONFIG is empty, as in a TFJob of one worker.

    Raises:
        StepError: TF_CONFIG is not what a TFJob sets, has an invalid address, or names replicas that do not train.
    """
    text = os.environ.get("TF_CONFIG", "").strip()
    try:
        config = json.loads(text or "{}")
        return _group(config) if config != {} else WorkerGroup()
    except (ValueError, RecursionError) as error:
        raise outcome.StepError(
            f"TF_CONFIG is not the JSON that a TFJob sets ({error}); expected"
            ' {"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}'
        ) from error


def _group(config: Any) -> WorkerGroup:
    cluster, task = _part(config, "cluster", dict), _part(config, "task", dict)
    kind, index = _part(task, "type", str), _part(task, "index", int)
    _check_types([kind, *cluster])
    for name in (kind, *cluster):
        if not _part(cluster, name, list):
            raise ValueError(f"there is no {name} in the cluster")
    if not 0 <= index < len(cluster[kind]):
        raise ValueError(f"there is no {kind} {index} in the cluster")
    chiefs, workers = cluster.get("chief", []), cluster.get("worker", [])
    if len(chiefs) > 1:
        raise ValueError(f"there are {len(chiefs)} chiefs; TensorFlow accepts one")
    addresses = (*chiefs, *workers)
    if len({_host_and_port(address) for address in addresses}) < len(addresses):
        raise ValueError("two replicas have the same address")
    return WorkerGroup(addresses, index + (0 if kind == "chief" else len(chiefs)))


def _part(parent: Any, key: str, kind: type) -> Any:
    """Return the value of `key`, which must have exactly this type: JSON's true is not an index."""
    if not isinstance(parent, dict):
        raise ValueError(f"expected an object with {key!r}, not {json.dumps(parent)[:60]}")
    if key not in parent:
        raise ValueError(f"{key!r} is missing")
    if type(parent[key]) is not kind:
        raise ValueError(f"{key!r} is {json.dumps(parent[key])[:60]}, not {JSON_NAMES[kind]}")
    return parent[key]


def _check_types(kinds: list[str]) -> None:
    """Refuse all replica types except chief and worker: MultiWorkerMirroredStrategy trains on no other."""
    for kind in kinds:
        if kind not in ("chief", "worker"):
            remedy = "call it Chief in the TFJob" if kind == "master" else "remove it from the TFJob"
            raise outcome.StepError(
                f"TF_CONFIG names a replica of type {kind[:60]!r}; expected Workers and at most one Chief; {remedy}"
            )


def _host_and_port(address: Any) -> tuple[str, int]:
    if not isinstance(address, str):
        raise ValueError(f"{json.dumps(address)[:60]} is not host:port")
    host, port = network.host_and_port(address)
    return host.lower(), port
