"""The worker group that the environment describes: a TFJob in TF_CONFIG, an Indexed Job in three other variables."""

import json
import os
import re
from dataclasses import dataclass
from typing import Any

from distml.step import network, outcome

# The variables of an Indexed Job's workers. Kubernetes sets the first, multi-worker-job.yaml the others.
JOB_INDEX, JOB_NAME, JOB_COMPLETIONS = "JOB_COMPLETION_INDEX", "JOB_NAME", "JOB_COMPLETIONS"
# The port on which the workers of an Indexed Job listen.
JOB_PORT = 2222
DNS_LABEL = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
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

    def tf_config(self) -> str:
        """Return the TF_CONFIG from which TensorFlow reads the same group, with the chief as worker 0."""
        return json.dumps({"cluster": {"worker": self.addresses}, "task": {"type": "worker", "index": self.index}})


def read() -> WorkerGroup:
    """Return the group that TF_CONFIG describes or, if TF_CONFIG is empty, the variables of an Indexed Job.

    Without these, the group is a single worker, as in a TFJob of one worker.

    Raises:
        StepError: TF_CONFIG is not what a TFJob sets, has an invalid address, or names replicas that do not train; or a
            variable of the Indexed Job is missing or wrong.
    """
    text = os.environ.get("TF_CONFIG", "").strip()
    if not text and JOB_INDEX in os.environ:
        return _indexed_job()
    try:
        config = json.loads(text or "{}")
        return _group(config) if config != {} else WorkerGroup()
    except (ValueError, RecursionError) as error:
        raise outcome.StepError(
            f"TF_CONFIG is not the JSON that a TFJob sets ({error}); expected"
            ' {"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}'
        ) from error


def _indexed_job() -> WorkerGroup:
    """Return the group of an Indexed Job, whose headless Service has the Job's name."""
    name, index, completions = os.environ.get(JOB_NAME, ""), _number(JOB_INDEX, 0), _number(JOB_COMPLETIONS, 1)
    if not DNS_LABEL.fullmatch(name):
        raise _job_error(JOB_NAME, name, "the Job's name")
    if index >= completions:
        raise _job_error(JOB_INDEX, str(index), f"less than {JOB_COMPLETIONS}, which is {completions}")
    if completions == 1:
        return WorkerGroup()
    return WorkerGroup(tuple(f"{name}-{peer}.{name}:{JOB_PORT}" for peer in range(completions)), index)


def _number(variable: str, least: int) -> int:
    text = os.environ.get(variable, "")
    if not re.fullmatch("[0-9]{1,4}", text) or int(text) < least:
        raise _job_error(variable, text, f"an integer from {least}")
    return int(text)


def _job_error(variable: str, value: str, expected: str) -> outcome.StepError:
    return outcome.StepError(
        f"{variable} is {value[:60]!r}, expected {expected}; set the variables of an Indexed Job as"
        f" multi-worker-job.yaml does, or unset {JOB_INDEX} to train alone"
    )


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
