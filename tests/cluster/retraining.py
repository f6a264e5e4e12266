"""retrain.yaml's CronWorkflow with a schedule of every minute, and the images that its workflows look at."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from cluster.kube import ROOT, create, execute, kubectl, wait_until
from cluster.workflows import QUICK, nodes

# Send a version's reference images, or their negatives, to its service in ten requests.
SEND = """
import json, sys, urllib.request, numpy
images = numpy.load(f"/trained_model/saved_model_versions/{sys.argv[1]}/assets.extra/reference.npz")["images"]
if sys.argv[2] == "negatives":
    images = 255 - images
for start in range(0, 1000, 100):
    body = json.dumps({"instances": images[start : start + 100, ..., 0].tolist()}).encode()
    urllib.request.urlopen("http://flower-sample-predictor/v1/models/flower-sample:predict", body, 60).read()
"""


def send(version: str, images: str) -> None:
    """Send 1,000 images, "originals" or "negatives", to the service."""
    execute("predict-service", "python3", "-c", SEND, version, images)


@contextmanager
def every_minute() -> Iterator[None]:
    """Install the WorkflowTemplate, and the CronWorkflow with the tests' small settings; delete both at the end."""
    kubectl("apply", "--filename=workflow-template.yaml")
    cron = yaml.safe_load((ROOT / "retrain.yaml").read_text())
    cron["spec"]["schedules"] = ["* * * * *"]
    quick = [{"name": name, "value": value} for name, value in QUICK.items()]
    cron["spec"]["workflowSpec"]["arguments"]["parameters"] += quick
    create(cron)
    yield
    # Deletes its workflows and their TFJobs too.
    kubectl("delete", "cronworkflow/retrain", "workflowtemplate/distml")


def suspend() -> None:
    kubectl("patch", "cronworkflow", "retrain", "--type=merge", '--patch={"spec": {"suspend": true}}')


def scheduled(trained: str) -> str:
    """Wait for a workflow of the CronWorkflow that has decided "true" or "false"; return its name."""
    selector = "--selector=workflows.argoproj.io/cron-workflow=retrain"

    def found() -> str | None:
        items = json.loads(kubectl("get", "workflows", selector, "--output=json"))["items"]
        names = [item["metadata"]["name"] for item in items if decision(item.get("status", {})) == trained]
        return names[0] if names else None

    return wait_until(f"a scheduled workflow has decided {trained}", 180, found)


def decision(status: dict) -> str | None:
    """Return the first step's decision whether to train; None if there is none yet."""
    outputs = nodes(status).get("check", {}).get("outputs", {}).get("parameters", [])
    return {output["name"]: output["value"] for output in outputs}.get("train")
