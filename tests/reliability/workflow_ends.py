"""The steps of workflow.yaml that run a pod, ways to end a workflow at each, and what it leaves."""

import json
import time
from collections.abc import Iterator

import yaml

from cluster import tfjobs, workflows
from cluster.kube import execute, get, kubectl, run, wait_until

WORKFLOW = yaml.safe_load(workflows.FILE)
TEMPLATES = {template["name"]: template for template in WORKFLOW["spec"]["templates"]}
SHUTDOWN = {"stopped": {"shutdown": "Stop"}, "terminated": {"shutdown": "Terminate"}}
# The controller compares the deadline with the time since the workflow's start.
PATCHES = SHUTDOWN | {"timed out": {"activeDeadlineSeconds": 1}}
ENDS = ("deleted", *PATCHES)
# Steps that run only after a training that failed, and the step that trains: the training must not end by itself.
IN_TRAINING = ("former", "tfjob", "why")
EXIT = "exit handler"
ENDED = ("Succeeded", "Failed", "Error")
CACHE = ("configmap", "ingestion-cache")
# Check every version, offered or withdrawn, and print how many there are.
VERIFY = """
from pathlib import Path
from distml.model import manifest
from distml.publishing.versions import folders
from distml.step.volume import Volume
versions = Volume(Path("/trained_model")).versions
found = [place / str(number) for place in (versions, versions / folders.WITHDRAWN) for number in folders.numbers(place)]
for folder in found:
    manifest.verified(folder)
print(len(found))
"""


def steps(template: str = WORKFLOW["spec"]["entrypoint"]) -> Iterator[tuple[str, str]]:
    """Yield the name and the template of each step that runs a pod, in the file's order."""
    for group in TEMPLATES[template]["steps"]:
        for step in group:
            if "steps" in TEMPLATES[step["template"]]:
                yield from steps(step["template"])
            else:
                yield step["name"], step["template"]


STEPS = [*dict.fromkeys(name for name, _ in steps()), EXIT]


class NotReached(Exception):
    """A workflow that did not reach the step at which it was to end."""


def end_at(step: str, how: str) -> str:
    """Run a workflow until a step's pod exists, and end the workflow; return its name.

    Raises:
        NotReached: the workflow ended first, or the step took too long to begin.
    """
    prepare(step)
    name = workflows.submit(epochs="100" if step in IN_TRAINING else "1")
    deadline, failed = time.monotonic() + 300, step not in ("former", "why")
    while not reached(name, step):
        if time.monotonic() > deadline or workflows.phase(name) in ENDED:
            status = get("workflow", name).get("status", {"nodes": {}})
            remove(name)
            raise NotReached(f"{name} did not reach {step}: {sorted(workflows.nodes(status))}")
        if not failed and workers_run(name):
            kubectl("delete", "tfjob", *workflows.jobs(name))
            failed = True
        time.sleep(0.3)
    if how == "deleted":
        kubectl("delete", "workflow", name)
    else:
        kubectl("patch", "workflow", name, "--type=merge", f"--patch={json.dumps({'spec': PATCHES[how]})}")
    return name


def prepare(step: str) -> None:
    """Let the next workflow reach a step that not every workflow runs."""
    if step == "ingest":
        run("delete", *CACHE, "--ignore-not-found")
    if step == "create":
        kubectl("delete", "inferenceservice", "flower-sample", "--ignore-not-found", "--cascade=foreground")


def reached(name: str, step: str) -> bool:
    """Return whether a pod of the step has started; for the step that trains, also its workers."""
    nodes = get("workflow", name).get("status", {}).get("nodes", {}).values()
    pods = [node["displayName"].partition("(")[0] for node in nodes if node["type"] == "Pod" and started(node)]
    wanted = f"{name}.onExit" if step == EXIT else step
    return wanted in pods and (step != "tfjob" or workers_run(name))


def started(node: dict) -> bool:
    return node["phase"] in ("Pending", "Running")


def workers_run(name: str) -> bool:
    return any("epoch 1/" in tfjobs.logs(job, 0) for job in workflows.jobs(name))


def unfinished(name: str) -> list[str]:
    """Return the TFJobs of the workflow that have not ended, and its pods that have not."""
    selector = f"--selector=workflows.argoproj.io/workflow={name}"
    pods = json.loads(kubectl("get", "pods", selector, "--output=json"))["items"]
    running = [pod["metadata"]["name"] for pod in pods if pod["status"]["phase"] in ("Pending", "Running")]
    return [*workflows.training(name), *running]


def delete_jobs(name: str) -> int:
    """Delete a workflow's TFJobs as docs/workflow.md says; return the number that still ran."""
    left = len(workflows.training(name))
    selector = f"--selector=workflows.argoproj.io/workflow={name}"
    kubectl("delete", "tfjob", selector, "--cascade=foreground")
    return left


def wait_for_end(name: str, how: str) -> int:
    """Wait until nothing of the workflow runs any more; return how many TFJobs `Terminate` left, which are deleted.

    `Terminate` skips the exit handler; docs/workflow.md says to delete the TFJobs then.
    """
    left = 0
    if how == "deleted":
        wait_until(f"{name} is gone", 60, lambda: run("get", "workflow", name).returncode)
    else:
        wait_until(f"{name} has ended", 150, lambda: workflows.phase(name) in ENDED)
    if how == "terminated":
        left = delete_jobs(name)
    wait_until(f"nothing of {name} goes on", 60, lambda: not unfinished(name))
    return left


def verified_versions() -> int:
    """Check every published version on the volume; return their number."""
    return int(execute("access-model", "env", "PYTHONPATH=/opt/pipeline/src", "python3", "-c", VERIFY, timeout=300))


def remove(name: str) -> None:
    """Delete a workflow with its jobs, however it ended."""
    kubectl("delete", "workflow", name, "--ignore-not-found")
    kubectl("delete", "tfjob", f"--selector=workflows.argoproj.io/workflow={name}", "--cascade=foreground")
