"""TFJobs made from multi-worker-tfjob.yaml: creating, watching and deleting them."""

import json
from copy import deepcopy

import yaml

from cluster.kube import ROOT, create, execute, get, kubectl, run, wait_until

# The settings of the TFJob `trained` of conftest.py: three epochs of a few seconds.
THREE_EPOCHS = ("--epochs=3", "--train-images=25600")
# Kills the worker's process in a pod.
KILL = """
import os, signal
for name in filter(str.isdecimal, os.listdir("/proc")):
    with open(f"/proc/{name}/cmdline", "rb") as file:
        if file.read().split(b"\\0")[1:2] == [b"/multi-worker-distributed-training.py"]:
            os.kill(int(name), signal.SIGKILL)
            print("killed", name)
"""
FILE = yaml.safe_load((ROOT / "multi-worker-tfjob.yaml").read_text())


def tfjob(name: str, *arguments: str) -> dict:
    """Return the file's job with a new name, a run of that name, and additional arguments for the training script."""
    job = deepcopy(FILE)
    job["metadata"]["name"] = name
    pod(job)["containers"][0]["command"] += [f"--run={name}", *arguments]
    return job


def pod(job: dict) -> dict:
    return job["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]


def submit(name: str, *arguments: str) -> None:
    create(tfjob(name, *arguments))


def conditions(name: str) -> dict[str, str]:
    """Return the reasons of the job's true conditions, by type."""
    found = get("tfjob", name).get("status", {}).get("conditions") or []
    return {condition["type"]: condition["reason"] for condition in found if condition["status"] == "True"}


def wait_for(name: str, condition: str, seconds: float) -> str:
    """Wait until a condition is true; return its reason. A job that ends differently fails the test at once."""

    def reason() -> str | None:
        true = conditions(name)
        ended = {"Succeeded", "Failed"} & true.keys() - {condition}
        assert not ended, f"{name}: {true}\n{logs(name, 0)}\n{logs(name, 1)}"
        return true.get(condition)

    return wait_until(f"{name} is {condition}", seconds, reason)


def logs(name: str, worker: int, *options: str) -> str:
    """Return a worker's output; empty before it starts."""
    return run("logs", f"{name}-worker-{worker}", *options).stdout


def wait_for_output(name: str, text: str, seconds: float) -> None:
    wait_until(f"worker 0 of {name} prints {text!r}", seconds, lambda: text in logs(name, 0))


def restarts(name: str, worker: int) -> int:
    statuses = get("pod", f"{name}-worker-{worker}")["status"]["containerStatuses"]
    return sum(status["restartCount"] for status in statuses)


def history(run: str) -> list[dict]:
    """Return one entry per epoch, from the manifest of the run's candidate `batchnorm-seed1`."""
    path = f"/trained_model/runs/{run}/candidates/batchnorm-seed1/manifest.json"
    return json.loads(execute("access-model", "cat", path))["metrics"]["history"]


def on_the_claim() -> list[str]:
    """Return the names of the jobs that mount the claim."""
    jobs = json.loads(kubectl("get", "tfjobs", "--output=json"))["items"]
    return [job["metadata"]["name"] for job in jobs if '"claimName": "strategy-volume"' in json.dumps(job)]


def delete(name: str) -> None:
    """Delete a job and wait until its workers are gone."""
    kubectl("delete", "tfjob", name, "--cascade=foreground", "--ignore-not-found")
