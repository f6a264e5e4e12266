"""workflow.yaml's conditions for training, and the two files that start it on a schedule. No cluster is needed."""

import json
import re
import subprocess
from pathlib import Path

import yaml

from support.makefile import TEXT, dry_run
from support.project import ROOT
from support.yaml_files import load

SPEC = load("workflow.yaml")["spec"]
TEMPLATES = {template["name"]: template for template in SPEC["templates"]}
CRON = load("retrain.yaml")["spec"]
PARAMETERS = {parameter["name"]: parameter["value"] for parameter in SPEC["arguments"]["parameters"]}


def test_every_step_but_the_first_runs_only_if_training_is_needed() -> None:
    steps = [step for group in TEMPLATES["pipeline"]["steps"] for step in group]
    assert [(step["name"], step.get("when")) for step in steps] == [
        ("check", None),
        *(
            (name, "{{steps.check.outputs.parameters.train}} == true")
            for name in ("ingest", "check-data", "remove-runs", "train", "publish")
        ),
    ]


def test_a_workflow_that_trains_nothing_has_empty_results() -> None:
    outputs = {output["name"]: output["valueFrom"] for output in TEMPLATES["pipeline"]["outputs"]["parameters"]}
    decision = {name: outputs.pop(name) for name in ("trained", "reason")}
    assert decision == {
        "trained": {"parameter": "{{steps.check.outputs.parameters.train}}"},
        "reason": {"parameter": "{{steps.check.outputs.parameters.reason}}"},
    }
    assert [output["name"] for output in TEMPLATES["publish"]["outputs"]["parameters"]] == list(outputs)
    assert outputs == {
        name: {"parameter": f"{{{{steps.publish.outputs.parameters.{name}}}}}", "default": ""} for name in outputs
    }


def test_the_committed_template_is_what_make_writes(tmp_path: Path) -> None:
    (tmp_path / "workflow.yaml").write_text((ROOT / "workflow.yaml").read_text())
    subprocess.run(["sh", "-e", "-c", dry_run("workflow-template")], cwd=tmp_path, check=True)
    assert (tmp_path / "workflow-template.yaml").read_text() == (ROOT / "workflow-template.yaml").read_text()


def test_the_template_differs_from_the_workflow_only_in_kind_and_name() -> None:
    template = load("workflow-template.yaml")
    assert (template.pop("kind"), template.pop("metadata")) == ("WorkflowTemplate", {"name": "distml"})
    assert template == {"apiVersion": "argoproj.io/v1alpha1", "spec": SPEC}


def test_the_schedule_starts_the_template_and_trains_only_if_needed() -> None:
    workflow = CRON["workflowSpec"]
    assert workflow["workflowTemplateRef"] == {"name": load("workflow-template.yaml")["metadata"]["name"]}
    assert workflow["arguments"]["parameters"] == [{"name": "train", "value": "if-needed"}]
    assert PARAMETERS["train"] == "always"


def test_the_schedule_is_weekly_and_starts_one_workflow_at_a_time() -> None:
    (schedule,) = CRON["schedules"]
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", schedule)
    assert CRON["concurrencyPolicy"] == "Forbid"
    assert 3600 <= CRON["startingDeadlineSeconds"] < 7 * 24 * 3600


def test_workflows_live_until_the_schedules_limits_remove_them() -> None:
    weeks = {7 * 24 * 3600 * (CRON[f"{kind}JobsHistoryLimit"] + 1) for kind in ("successful", "failed")}
    assert set(CRON["workflowSpec"]["ttlStrategy"].values()) == weeks
    assert CRON["workflowSpec"]["ttlStrategy"].keys() == SPEC["ttlStrategy"].keys()


def test_make_retrain_creates_a_workflow_as_argo_would() -> None:
    (made,) = re.findall(r"^define retraining\n(.*?)^endef\nexport retraining$", TEXT, re.DOTALL | re.MULTILINE)
    cron = {"apiVersion": "argoproj.io/v1alpha1", "metadata.name": "retrain", "metadata.uid": "1-2"}
    cron["spec.workflowSpec"] = json.dumps(CRON["workflowSpec"])
    workflow = yaml.safe_load(re.sub(r"\{\.([\w.]+)\}", lambda match: cron[match[1]], made))
    owner = {"apiVersion": "argoproj.io/v1alpha1", "kind": "CronWorkflow", "name": "retrain", "uid": "1-2"}
    assert workflow == {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {
            "generateName": "retrain-",
            "labels": {"workflows.argoproj.io/cron-workflow": "retrain"},
            "ownerReferences": [owner | {"controller": True, "blockOwnerDeletion": True}],
        },
        "spec": CRON["workflowSpec"],
    }
