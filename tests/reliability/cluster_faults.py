"""Faults of a real cluster in mid-training, and the weights that a training on it leaves."""

import json
import os
import subprocess
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import pytest

from cluster import tfjobs, workflows
from cluster.kube import execute, kubectl, run, wait_until
from reliability.volume_states import WEIGHTS

EPOCHS, IMAGES = "8", "25600"
# A container cannot kill its process 1. With a shared process namespace the worker is not process 1.
GRACE = "terminationGracePeriodSeconds: 10\n"
SHARED = (GRACE, f"{GRACE}{20 * ' '}shareProcessNamespace: true\n")
IMAGE = tfjobs.pod(tfjobs.FILE)["containers"][0]["image"]


class Fault(NamedTuple):
    """A fault: a plain name, and a function that does it to a TFJob and returns when what it broke runs again."""

    name: str
    do: Callable[[str], None]


def image_is_loaded() -> bool:
    nodes = json.loads(kubectl("get", "nodes", "--output=json"))["items"]
    names = [name for node in nodes for image in node["status"].get("images", []) for name in image.get("names") or []]
    return any(name == IMAGE or name.endswith(f"/{IMAGE}") for name in names)


def delete_controller(deployment: str) -> Fault:
    """Return the fault that kills the pod of a controller, without a chance to end in order."""

    def delete(job: str) -> None:
        before = pods_of(deployment)
        assert before, f"{deployment} has no pod"
        kubectl("delete", *sorted(before), "--grace-period=0", "--force")
        wait_until(f"{deployment} has a new pod", 60, lambda: pods_of(deployment) - before)
        kubectl("rollout", "status", f"deployment/{deployment}", "--timeout=90s")

    return Fault(f"the pod of {deployment} deleted", delete)


def pods_of(deployment: str) -> set[str]:
    labels = json.loads(kubectl("get", "deployment", deployment, "--output=jsonpath={.spec.selector.matchLabels}"))
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    return set(kubectl("get", "pods", f"--selector={selector}", "--output=name").split())


def kill_worker(job: str) -> None:
    before = tfjobs.restarts(job, 1)
    assert "killed" in execute(f"{job}-worker-1", "python3", "-c", tfjobs.KILL)
    wait_until("the killed worker has restarted", 60, lambda: tfjobs.restarts(job, 1) > before)


def outside(program: str, what: str) -> Fault:
    """Return the fault that the environment's program does: it kills a daemon of the cluster and starts it again."""

    def break_it(job: str) -> None:
        done = subprocess.run([program, what], capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            pytest.skip(f"{program} {what} failed: {done.stdout}{done.stderr}")
        wait_until(f"the cluster answers after {what}", 120, answers)

    return Fault(f"{what} killed", break_it)


def program() -> str:
    return os.environ.get("CLUSTER_FAULTS", "")


def answers() -> bool:
    """Return whether the API server answers and every node is ready."""
    ready = "--output=jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}"
    with suppress(subprocess.TimeoutExpired):
        found = run("get", "nodes", ready, timeout=10)
        return found.returncode == 0 and bool(found.stdout) and set(found.stdout.split()) == {"True"}
    return False


def undisturbed() -> str:
    """Train without a fault, as a TFJob, with the settings of the disturbed workflows; return the weights' hash."""
    name = "undisturbed"
    tfjobs.submit(name, f"--epochs={EPOCHS}", f"--train-images={IMAGES}")
    try:
        tfjobs.wait_for(name, "Succeeded", seconds=600)
        return weights(name)
    finally:
        tfjobs.delete(name)


def disturbed(faults: list[Fault], made: Callable[[str], None]) -> str:
    """Run a workflow with faults in mid-training, one after another; return the hash of the weights.

    Args:
        faults: the faults, at most one in an epoch.
        made: called with the name of each fault that was made.
    """
    name = workflows.submit(SHARED, epochs=EPOCHS, train_images=IMAGES)
    try:
        (job,) = wait_until("the workflow's job exists", 150, lambda: workflows.jobs(name))
        tfjobs.wait_for_output(job, f"epoch 1/{EPOCHS}  loss", 180)
        for fault in faults:
            assert workflows.training(name) == [job], f"the training ended before this fault: {fault.name}"
            trained = epochs(job)
            fault.do(job)
            made(fault.name)
            wait_until(f"the training goes on after this: {fault.name}", 120, partial(goes_on, job, trained))
        workflows.wait_for(name, "Succeeded", seconds=600)
        assert workflows.jobs(name) == [job], "the workflow needed another job"
        return weights(name)
    finally:
        run("delete", "workflow", name, "--ignore-not-found")


def goes_on(job: str, trained: set[str]) -> bool:
    """Return whether the job has trained another epoch than those, or has succeeded."""
    return bool(epochs(job) - trained) or "Succeeded" in tfjobs.conditions(job)


def epochs(job: str) -> set[str]:
    """Return the epochs that worker 0 reports as trained, in this container or the one before."""
    lines = (tfjobs.logs(job, 0) + tfjobs.logs(job, 0, "--previous")).splitlines()
    return {line.partition("  loss")[0].rpartition("epoch ")[2] for line in lines if "  loss" in line}


def weights(run_name: str) -> str:
    """Return the hash of the weights file of a run's only candidate."""
    path = f"/trained_model/runs/{run_name}/candidates/batchnorm-seed1/{WEIGHTS}"
    return execute("access-model", "sha256sum", path).split()[0]
