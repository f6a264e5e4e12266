"""Check the cluster before and after `make install`, which runs both commands.

    python3 manifests/check_cluster.py before   # stop if the cluster has controllers or objects of other owners
    python3 manifests/check_cluster.py after    # wait until the API server accepts a TFJob and a workflow

The script needs only kubectl and Python's standard library: the machine may lack `.venv`.
"""

from __future__ import annotations

import argparse
import collections
import json
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMESPACE = "kubeflow"
# The label of everything that manifests/ installs; kustomization.yaml of each part sets it.
LABEL = ("app.kubernetes.io/part-of", "distml")
# Parts of the names of controllers and of their images, in the projects that distribute them.
CONTROLLER = re.compile(
    r"(?<![a-z0-9])(workflow-controller|training-operator|tf-operator|tf_operator|tf-job-operator)(?![a-z0-9])"
)
# Objects in the namespace that nothing but this project installs: releases without the label did too.
MARKS = ("configmap/pipeline-limits", "rolebinding/workflow-cache")
FORMER_CONTROLLERS = tuple(f"deployment/{NAMESPACE}/{name}" for name in ("workflow-controller", "training-operator"))
# What manifests/ installs outside the namespace; tests/cluster/test_install.py compares.
DEFINITIONS = (
    "clusterworkflowtemplates.argoproj.io",
    "cronworkflows.argoproj.io",
    "tfjobs.kubeflow.org",
    "workflowartifactgctasks.argoproj.io",
    "workfloweventbindings.argoproj.io",
    "workflows.argoproj.io",
    "workflowtaskresults.argoproj.io",
    "workflowtasksets.argoproj.io",
    "workflowtemplates.argoproj.io",
)
CLUSTER_WIDE = (
    *(f"customresourcedefinition/{name}" for name in DEFINITIONS),
    "clusterrole/training-operator",
    "clusterrolebinding/training-operator",
    "priorityclass/workflow-controller",
    "validatingwebhookconfiguration/validator.training-operator.kubeflow.org",
)


def look_for_others() -> str:
    """Return one sentence about what belongs to other owners; empty if `make install` overwrites nothing of theirs."""
    controllers = [each for each in get("deployments,statefulsets", "--all-namespaces") if is_controller(each)]
    former = FORMER_CONTROLLERS if has_former_release() else ()
    others = [path(each) for each in controllers if not (is_ours(each) or is_elsewhere(each) or path(each) in former)]
    if former and not others:
        return ""
    objects = [path(each) for each in get(*CLUSTER_WIDE) if not is_ours(each)]
    namespace = get(f"namespace/{NAMESPACE}")
    workloads = [] if not namespace or is_ours(namespace[0]) else others_in_the_namespace()
    found = {
        f"controllers ({shortened(others)})": others,
        f"cluster-wide objects ({shortened(objects)})": objects,
        f"workloads in the namespace {NAMESPACE} ({shortened(workloads)})": workloads,
    }
    if not any(found.values()):
        return ""
    deleted = objects_of([name.partition("/")[2] for name in objects if name.startswith("customresourcedefinition/")])
    deleted += [f"the namespace {NAMESPACE} with everything in it"] if workloads else []
    clean_up = f"; its clean-up would delete {joined(deleted)}" if deleted else ""
    return (
        f"this cluster has {joined([text for text, owned in found.items() if owned])} of other owners; make install "
        f"would {joined(effects(others, objects, workloads))}{clean_up}; use what is there, or go on by hand: see "
        "'A cluster that others use too' in docs/cluster.md"
    )


def effects(others: list[str], objects: list[str], workloads: list[str]) -> list[str]:
    """Return what `make install` would do to other owners' things."""
    same_name = [name for name in others if name.startswith(f"deployment/{NAMESPACE}/")]
    results = {
        f"overwrite {shortened([*same_name, *objects])}": [*same_name, *objects],
        "run a second controller for the same objects": len(others) > len(same_name),
        "make the namespace refuse pods that are not restricted": workloads,
    }
    return [text for text, reason in results.items() if reason]


def objects_of(definitions: list[str]) -> list[str]:
    """Return the number of objects of each kind in the whole cluster, as in `12 Workflow`."""
    found = get(",".join(definitions), "--all-namespaces") if definitions else []
    return [f"{count} {kind}" for kind, count in sorted(collections.Counter(each["kind"] for each in found).items())]


def others_in_the_namespace() -> list[str]:
    """Return the workloads in the namespace, except those that use the pipeline's claim, and the controllers."""
    found = get("deployments,statefulsets,daemonsets,cronjobs", f"--namespace={NAMESPACE}")
    return [path(each) for each in found if not is_controller(each) and '"strategy-volume"' not in json.dumps(each)]


def is_controller(workload: dict) -> bool:
    images = [container["image"].rpartition("/")[2] for container in containers(workload)]
    return any(CONTROLLER.search(name) for name in (workload["metadata"]["name"], *images))


def is_elsewhere(workload: dict) -> bool:
    """Return whether a controller in another namespace watches only other namespaces, by either project's options."""
    home = workload["metadata"]["namespace"]
    parts = [part for each in containers(workload) for part in (*each.get("command", []), *each.get("args", []))]
    words = [word for part in parts for word in part.split("=", 1)]
    values = dict(zip(words, [*words[1:], ""], strict=False))
    one = values.get("--namespaced", "false") != "false"
    watched = values.get("--managed-namespace", home) if one else values.get("--namespace", "")
    return watched != "" and NAMESPACE not in (home, watched)


def is_ours(found: dict) -> bool:
    name, value = LABEL
    return found["metadata"].get("labels", {}).get(name) == value


def has_former_release() -> bool:
    """Return whether a release without the label installed everything in the namespace."""
    marks = get(*MARKS, f"--namespace={NAMESPACE}")
    return len(marks) == len(MARKS) and not any(is_ours(each) for each in marks)


def containers(workload: dict) -> list[dict]:
    return workload["spec"].get("template", {}).get("spec", {}).get("containers", [])


def path(found: dict) -> str:
    """Return kind, namespace (if it has one) and name of an object."""
    parts = (found["kind"].lower(), found["metadata"].get("namespace"), found["metadata"]["name"])
    return "/".join(part for part in parts if part)


def shortened(names: list[str], limit: int = 3) -> str:
    return joined([*names[:limit], f"{len(names) - limit} more"] if len(names) > limit + 1 else names)


def joined(parts: list[str]) -> str:
    return " and ".join(part for part in (", ".join(parts[:-1]), *parts[-1:]) if part)


def get(*arguments: str) -> list[dict]:
    """Return the objects that exist.

    Raises:
        SystemExit: kubectl failed.
    """
    done = kubectl("get", *arguments, "--ignore-not-found", "--output=json")
    if done.returncode:
        sys.exit(f"kubectl cannot look at the cluster: {' '.join(done.stderr.split())}")
    found = json.loads(done.stdout or '{"items": []}')
    return found.get("items", [found])


def wait_until_ready(seconds: float) -> str:
    """Wait until a dry run creates a TFJob and a workflow; return the last error if that takes too long.

    The operator's webhook answers some seconds after its pod is ready.
    """
    deadline = time.monotonic() + seconds
    while error := refusal():
        if time.monotonic() >= deadline:
            return f"the cluster is not ready after {seconds:.0f} s: {error}; look at the pods in {NAMESPACE}"
        time.sleep(1)
    return ""


def refusal() -> str:
    """Return the errors of a dry run. An object of the same name is none: the server checks that last."""
    files = [f"--filename={ROOT / name}" for name in ("multi-worker-tfjob.yaml", "workflow.yaml")]
    done = kubectl("create", f"--namespace={NAMESPACE}", "--dry-run=server", *files)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Warning: ")]
    return " ".join(line for line in lines if not line.endswith("already exists")) if done.returncode else ""


def kubectl(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["kubectl", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        sys.exit("there is no kubectl on the PATH; install it")


def main(args: argparse.Namespace) -> None:
    if args.when == "before" and (sentence := look_for_others()):
        print(sentence, file=sys.stderr)
        sys.exit(2)
    if args.when == "after" and (sentence := wait_until_ready(args.seconds)):
        sys.exit(sentence)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("when", choices=("before", "after"), help="before or after the installation")
    parser.add_argument("--seconds", type=float, default=120, help="how long `after` waits (default 120)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main(parse_args())
