"""The steps of workflow.yaml that run a pod, ways to end a workflow at each, and what it leaves."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator

import yaml

from cluster import tfjobs, workflows
from cluster.kube import execute, get, kubectl, run, wait_until

WORKFLOW = yaml.safe_load(workflows.FILE)
TEMPLATES = {template["name"]: template for template in WORKFLOW["spec"]["templates"]}
TERMINATED = "terminated"
# The controller compares the deadline with the time since the workflow's start.
PATCHES = {
    "stopped": {"shutdown": "Stop"},
    TERMINATED: {"shutdown": "Terminate"},
    "timed out": {"activeDeadlineSeconds": 1},
}
ENDS = ("deleted", *PATCHES)
# Steps that run only after a training that failed.
AFTER_FAILURE = ("former", "why")
# A workflow that is ended at these trains for minutes: a job that ended by itself would look like one that was ended.
IN_TRAINING = ("tfjob", *AFTER_FAILURE)
LONG = {"epochs": "100"}
EXIT = "exit handler"
# Nothing follows these that an end could prevent. Argo's controller looks again ten seconds later; they are over then.
LAST = ("release", EXIT)
ENDED = ("Succeeded", "Failed", "Error")
# The longest time of a whole workflow on a busy machine.
SECONDS = 600
# How many workflows are started until a short step is seen in one.
ATTEMPTS = 3
CACHE = ("configmap", "ingestion-cache")
VERIFY = """
from pathlib import Path
from distml.model import manifest
from distml.publishing.versions import folders
from distml.step.volume import Volume
versions = Volume(Path("/trained_model")).versions
found = [place / str(number) for place in (versions, versions / folders.WITHDRAWN) for number in folders.numbers(place)]
for folder in found:
    manifest.verified(folder)
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


def refuted(step: str, made: Callable[[str], None]) -> str:
    """End workflows at a step, one in each of the ways `ENDS`; then run a whole one.

    Each workflow comes to the step after what the one before has left, so that only the last must run to its end.

    Args:
        step: the name of a step, as in `STEPS`.
        made: called with the name of each workflow that was ended at the step.

    Returns:
        The reason if a workflow left something behind or a later one is disturbed, else nothing.
    """
    names: list[str] = []
    ended: list[str] = []
    try:
        for how in ENDS:
            name = reach(step, LONG if step in IN_TRAINING else {}, names.append)
            end(name, how)
            made(name)
            ended.append(name)
            wait_for_end(name, how)
            if step not in LAST and how != "deleted":
                assert workflows.phase(name) != "Succeeded", f"{name} went on to its end"
            if step in IN_TRAINING:
                trained = [job for job in workflows.jobs(name) if "Succeeded" in tfjobs.conditions(job)]
                assert not trained, f"{trained} trained to the end"
            verify_versions()
        how = "a whole workflow after those that ended"
        names.append(workflows.submit())
        workflows.wait_for(names[-1], "Succeeded", seconds=SECONDS)
        verify_versions()
        again = {name: unfinished(name) for name in ended if unfinished(name)}
        assert not again, f"after the last workflow, some of the ended ones runs again: {again}"
    except (AssertionError, subprocess.TimeoutExpired) as error:
        return f"{how} at {step}: {error}"
    finally:
        for one in names:
            remove(one)
    return ""


def reach(step: str, parameters: dict[str, str], began: Callable[[str], None]) -> str:
    """Start workflows until one is found while a pod of the step runs; return its name.

    A step of a second or two may end between two looks, so that a workflow which succeeds is followed by another.

    Args:
        step: the name of a step, as in `STEPS`.
        parameters: the parameters of each workflow.
        began: called with the name of each workflow.
    """
    for _ in range(ATTEMPTS):
        prepare(step)
        name = workflows.submit(**parameters)
        began(name)
        if reaches(name, step):
            return name
        workflows.wait_for(name, "Succeeded", seconds=SECONDS)
    raise AssertionError(f"{ATTEMPTS} workflows succeeded, and none was seen at the step {step}")


def reaches(name: str, step: str) -> bool:
    """Return true once a pod of the step runs, or false when the workflow has ended."""
    fails = step in AFTER_FAILURE
    deadline = time.monotonic() + SECONDS
    while not reached(name, step):
        if workflows.phase(name) in ENDED:
            return False
        assert time.monotonic() < deadline, f"{name} did not reach {step} in {SECONDS} s"
        if fails and workers_run(name):
            kubectl("delete", "tfjob", *workflows.jobs(name))
            fails = False
        time.sleep(0.3)
    return True


def end(name: str, how: str) -> None:
    if how == "deleted":
        kubectl("delete", "workflow", name)
    else:
        kubectl("patch", "workflow", name, "--type=merge", f"--patch={json.dumps({'spec': PATCHES[how]})}")


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


def wait_for_end(name: str, how: str) -> None:
    """Wait until the workflow is gone or has ended, and nothing of it runs any more."""
    if how == "deleted":
        wait_until(f"{name} is gone", 60, lambda: run("get", "workflow", name).returncode)
        wait_until(f"the jobs of {name} are gone", 60, lambda: not workflows.jobs(name))
    else:
        wait_until(f"{name} has ended", 180, lambda: workflows.phase(name) in ENDED)
    if how == TERMINATED:
        # `Terminate` skips the exit handler. The command is that of docs/workflow.md.
        selector = f"--selector=workflows.argoproj.io/workflow={name}"
        kubectl("delete", "tfjob", selector, "--cascade=foreground")
    wait_until(f"nothing of {name} goes on", 60, lambda: not unfinished(name))


def verify_versions() -> None:
    """Check every published version on the volume, offered or withdrawn."""
    execute("access-model", "env", "PYTHONPATH=/opt/pipeline/src", "python3", "-c", VERIFY, timeout=300)


def remove(name: str) -> None:
    """Delete a workflow with its jobs, however it ended."""
    run("delete", "workflow", name, "--ignore-not-found")
    run("delete", "tfjob", f"--selector=workflows.argoproj.io/workflow={name}", "--cascade=foreground")
