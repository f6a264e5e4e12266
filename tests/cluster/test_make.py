"""`make workflow` on a cluster, as a user types it."""

import re
import shutil
from pathlib import Path

import pytest

from cluster import workflows
from cluster.kube import ROOT, kubectl, make, runs

pytestmark = pytest.mark.cluster


def test_make_workflow_prints_why_a_step_failed(pods: None, tmp_path: Path) -> None:
    if not runs("kubeflow", "workflow-controller"):
        pytest.skip("the controller of Argo Workflows cannot run in this cluster")
    shutil.copy(ROOT / "Makefile", tmp_path)
    two = "- name: workers # of each TFJob\n        value: "
    assert workflows.FILE.count(f'{two}"2"') == 1
    (tmp_path / "workflow.yaml").write_text(workflows.FILE.replace(f'{two}"2"', f"{two}two"))
    ended = make("workflow", tmp_path)
    (name,) = set(re.findall(r"^(workflow\.argoproj\.io/distml-\w+): ", ended.stdout, re.MULTILINE))
    kubectl("delete", name)
    reason = "check(0): main: Error (exit code 2): parameter workers: 'two' is not an integer of 1 or more"
    assert ended.returncode == 2 and reason in ended.stdout.splitlines(), ended.stdout + ended.stderr
