"""docs/workflow.md: the workflows that its commands create are valid. No cluster is needed."""

import json
import subprocess

import yaml

from distml.administration import parameters
from support import pages
from support.project import ROOT
from support.yaml_files import load

SPEC = load("workflow.yaml")["spec"]
CREATE = " | kubectl create -f -"
EDITS = [
    line.removesuffix(CREATE)
    for line in pages.lines(ROOT / "docs/workflow.md")
    if line.startswith("sed ") and line.endswith(f" workflow.yaml{CREATE}")
]
# The parameters, and the entrypoint, that each command changes or adds.
CHANGES = [{"seeds": "[1, 2, 3]"}, {"entrypoint": "release", "version": "4"}, {"service": "fashion"}]


def values(spec: dict) -> dict[str, str]:
    return {parameter["name"]: parameter["value"] for parameter in spec["arguments"]["parameters"]}


def test_each_command_changes_the_workflow_as_the_page_says() -> None:
    for edit, changes in zip(EDITS, CHANGES, strict=True):
        edited = subprocess.run(["sh", "-e", "-c", edit], cwd=ROOT, capture_output=True, text=True, check=True)
        spec = yaml.safe_load(edited.stdout)["spec"]
        start = changes.get("entrypoint", "pipeline")
        assert values(spec) == values(SPEC) | {name: to for name, to in changes.items() if name != "entrypoint"}
        assert {**spec, "arguments": None} == {**SPEC, "arguments": None, "entrypoint": start}
        if start == "pipeline":
            parameters.check(values(spec), "distml-abcde", "kubeflow")  # as the first step does


def test_the_step_that_is_repeated_alone_needs_only_the_version() -> None:
    (release,) = (template for template in SPEC["templates"] if template["name"] == "release")
    assert [one["name"] for one in release["inputs"]["parameters"]] == ["version"]
    assert "{{steps." not in json.dumps(release)
