"""Workflows made from workflow.yaml: creating them, and reading their status and their TFJobs."""

import json

import yaml

from cluster import tfjobs
from cluster.kube import ROOT, get, kubectl, run, wait_until

FILE = (ROOT / "workflow.yaml").read_text()
# One small model on few images: a workflow in a few minutes.
QUICK = {"models": '["batchnorm"]', "epochs": "1", "train-images": "12800", "accuracy-floor": "0.5", "tolerance": "1"}


def submit(*changes: tuple[str, str], **parameters: str) -> str:
    """Create the file's workflow with changes to its text and its parameters; return the workflow's name."""
    text = FILE
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    workflow = yaml.safe_load(text)
    values = QUICK | {name.replace("_", "-"): value for name, value in parameters.items()}
    for parameter in workflow["spec"]["arguments"]["parameters"]:
        parameter["value"] = values.pop(parameter["name"], parameter["value"])
    assert not values, f"the workflow has no parameter {values}"
    created = kubectl("create", "--filename=-", "--output=name", stdin=json.dumps(workflow))
    return created.strip().rpartition("/")[2]


def submit_release(version: int) -> str:
    """Create a workflow of the file's last step alone, for a version that is on the volume; return its name."""
    workflow = yaml.safe_load(FILE)
    del workflow["spec"]["onExit"]
    workflow["spec"]["entrypoint"] = "release"
    workflow["spec"]["arguments"]["parameters"].append({"name": "version", "value": str(version)})
    created = kubectl("create", "--filename=-", "--output=name", stdin=json.dumps(workflow))
    return created.strip().rpartition("/")[2]


def phase(name: str) -> str:
    return get("workflow", name).get("status", {}).get("phase", "")


def wait_for(name: str, expected: str, seconds: float = 420) -> dict:
    """Wait until the workflow ends; its phase must be `expected`. Return its status."""
    wait_until(f"workflow {name} ends", seconds, lambda: phase(name) in ("Succeeded", "Failed", "Error"))
    status = get("workflow", name)["status"]
    messages = {node["displayName"]: (node["phase"], node.get("message")) for node in status["nodes"].values()}
    assert status["phase"] == expected, messages
    return status


def outputs(status: dict) -> dict[str, str]:
    (root,) = (node for node in status["nodes"].values() if node.get("templateName") == "pipeline")
    return {parameter["name"]: parameter["value"] for parameter in root["outputs"]["parameters"]}


def nodes(status: dict) -> dict[str, dict]:
    """Return steps and attempts by the names that `argo get` shows; of two with the same name, the later."""
    found = sorted(status.get("nodes", {}).values(), key=lambda node: node["startedAt"] or "")
    return {node["displayName"]: node for node in found}


def messages(status: dict) -> str:
    return "\n".join(node.get("message", "") for node in status["nodes"].values())


def has_message(name: str, message: str) -> bool:
    """Return whether a step of a workflow that may not have started yet has ended with this message."""
    nodes = get("workflow", name).get("status", {}).get("nodes", {}).values()
    return any(node.get("message") == message for node in nodes)


def jobs(name: str) -> list[str]:
    """Return the names of the workflow's TFJobs, the oldest first."""
    options = (f"--selector=workflows.argoproj.io/workflow={name}", "--sort-by=.metadata.creationTimestamp")
    return run("get", "tfjobs", *options, "--output=jsonpath={.items[*].metadata.name}").stdout.split()


def candidates(name: str) -> list[str]:
    """Return the names of the workflow's TFJobs without their random ends."""
    return [job[: -len("-xxxxx")] for job in jobs(name)]


def training(name: str) -> list[str]:
    """Return the names of the workflow's TFJobs that have not ended."""
    return [job for job in jobs(name) if not {"Succeeded", "Failed"} & tfjobs.conditions(job).keys()]
