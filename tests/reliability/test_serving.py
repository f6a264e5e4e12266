"""Attacks on serving: versions that change, and predictors that end, while requests keep arriving."""

import contextlib
import itertools
import json
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import serve
from distml.model import manifest
from distml.publishing.versions import decisions
from distml.publishing.versions.version_files import AGREEMENT
from distml.serving.release import served_version
from distml.step.volume import Volume
from reliability.promises import Promise, attack
from reliability.service import Clients, Reply, Service
from support import yaml_files
from support.load import BODY
from support.predictor_process import PREDICT, Predictor, predictor

SECONDS_OF_A_VERSION = 2
CHANGES = ("publish", "publish", "withdraw", "roll back")
# By so much, probes and drain are faster than in the manifest, so that many rounds fit into the time.
FACTOR = 2
# From bright to dark, so that their answers differ.
SHADES = np.arange(40, dtype=np.uint8).reshape(40, 1, 1, 1) % 8
IMAGES = np.random.default_rng(3).integers(0, 256, (40, 28, 28, 1), np.uint8) >> SHADES


class Offered:
    """The versions that may answer, by the time of the request."""

    def __init__(self, version: int):
        self._changes = [(0.0, {version})]

    def change(self, *versions: int) -> None:
        """Allow other versions from now on."""
        self._changes.append((time.monotonic(), set(versions)))

    def since(self, started: float) -> set[int]:
        """Return the versions that may answer a request that started then and ends now."""
        changes = self._changes.copy()
        ends = [when for when, _ in changes[1:]] + [float("inf")]
        overlapping = (versions for (_, versions), end in zip(changes, ends, strict=True) if end >= started)
        return set().union(*overlapping)


@pytest.fixture
def right(served: Volume) -> np.ndarray:
    """Return the probabilities of `IMAGES`, [n, 10], as the published engine has them outside a predictor."""
    probabilities = served_version.load(served.version(1), threads=1).classify(IMAGES)
    assert len(np.unique(probabilities.round(2), axis=0)) > 1
    return probabilities


def name_of(index: int, version: int) -> str:
    """Return a class's name in a version: each version has its own, so that an answer mixed of two is noticed."""
    return f"class {index} of version {version}"


def fault_in(reply: Reply, right: np.ndarray) -> str:
    """Return why a reply has the wrong class or probabilities; "" if both are right."""
    expected = name_of(int(right[reply.image].argmax()), reply.version)
    if reply.class_name != expected:
        return f"{reply.class_name} in place of {expected}"
    difference = float(np.abs(reply.probabilities - right[reply.image]).max())
    return "" if difference <= AGREEMENT else f"probabilities differ by {difference}"


def publish(volume: Volume, number: int) -> None:
    """Publish version 1 again with class names of its own, as the version `number`."""
    work = volume.versions / f".{number}"
    shutil.copytree(volume.version(1), work)
    facts = json.loads((work / "manifest.json").read_text())
    names = [name_of(index, number) for index in range(len(facts["class_names"]))]
    manifest.write(work, {**facts, "version": number, "class_names": names})
    work.rename(volume.version(number))


def change(volume: Volume, versions: list[int], kind: str, new: int) -> None:
    """Publish the version `new`, or take the last of `versions` back."""
    if kind == "publish":
        publish(volume, new)
    elif kind == "withdraw":
        decisions.withdraw(volume, versions[-1], "an attack")
    else:
        decisions.roll_back(volume, versions[-2], "an attack")


@attack(Promise.SERVING, "another version every two seconds, under load", quick=3, hour=30, night=300)
def test_changes_of_the_version_lose_no_request(
    times: int, served: Volume, right: np.ndarray, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    # Version 2 starts, since version 1 keeps the class names of the training.
    publish(served, 2)
    versions, offered, service, made = [2], Offered(2), Service(SECONDS_OF_A_VERSION), 0

    def fault_of(reply: Reply) -> str:
        allowed = offered.since(reply.started)
        if reply.version not in allowed:
            return f"version {reply.version} answered while {sorted(allowed)} was offered"
        return fault_in(reply, right)

    with predictor(served, tmp_path / "log", "--release", "instant") as server:
        service.add(server)
        with Clients(service, IMAGES, fault_of) as clients:
            for made, kind in zip(range(1, times + 1), itertools.cycle(CHANGES), strict=False):
                until = time.monotonic() + SECONDS_OF_A_VERSION
                new = made + 2  # no number is used twice
                after = [*versions, new] if kind == "publish" else versions[:-1]
                offered.change(versions[-1], after[-1])
                change(served, versions, kind, new)
                server.wait(lambda expected=after[-1]: version_of(server) == expected, f"at version {after[-1]}")
                offered.change(after[-1])
                versions = after
                time.sleep(max(0.0, until - time.monotonic()))
    # Here, an announced 503 counts too: no change of the version needs one.
    refused = clients.requests["announced"]
    record(record_property, made, clients, len(clients.lost) + refused)
    assert not clients.lost and not refused, f"{refused} answered 503; {clients.lost[:5]}"


def version_of(server: Predictor) -> int:
    return int(server.post(PREDICT, BODY)[1]["model_version"])


def record(record_property: Callable[[str, object], None], made: int, clients: Clients, lost: int) -> None:
    record_property("times", made)
    record_property("lost", lost)
    record_property("requests", clients.requests.total())


@attack(Promise.SERVING, "SIGTERM to one of two predictors, under load", quick=2, hour=50, night=200)
def test_the_end_of_a_predictor_loses_no_request(
    times: int, served: Volume, right: np.ndarray, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    publish(served, 2)
    container = yaml_files.load("manifests/serving/serving-runtime.yaml")["spec"]["containers"][0]
    options = [word.replace("{{.Name}}", "any") for word in container["command"][2:]]
    drain = serve.parse_args(options).drain_seconds / FACTOR
    service = Service(container["readinessProbe"]["periodSeconds"] / FACTOR)
    started: list[Future[Predictor]] = []
    ends: list[int] = []

    def start() -> None:
        log = tmp_path / f"log {len(started)}"
        started.append(starter.submit(Predictor, served, log, "--drain-seconds", drain))

    with ThreadPoolExecutor() as starter:
        try:
            start()
            start()
            for starting in started:
                service.add(starting.result())
            with Clients(service, IMAGES, lambda reply: fault_in(reply, right)) as clients:
                for round_number in range(times):
                    start()
                    ended = started[round_number].result().process
                    ended.terminate()
                    ends.append(ended.wait(timeout=60))
                    service.add(started[-1].result())
        finally:
            for starting in started:
                with contextlib.suppress(AssertionError):  # of a start that failed
                    starting.result().process.kill()
                    starting.result().process.wait()
    faults = clients.lost + [f"exit status {status}" for status in ends if status]
    record(record_property, times, clients, len(faults))
    record_property("announced_503", clients.requests["announced"])
    assert not faults, f"{faults[:5]}"
