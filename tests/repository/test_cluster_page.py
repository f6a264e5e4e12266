"""docs/cluster.md shows the commands that make runs."""

import pytest

from support import pages
from support.makefile import dry_run
from support.project import ROOT
from support.yaml_files import load

LINES = pages.lines(ROOT / "docs/cluster.md")


@pytest.mark.parametrize("tool", ["kind", "k3d"])
def test_make_runs_the_cluster_pages_commands_and_three_others(tool: str) -> None:
    targets = ("cluster", "image", "install", "train", "clean-cluster")
    made = dry_run(*targets, f"CLUSTER_TOOL={tool}")
    ran = [line.rpartition(" || ")[2].replace("kubectl --namespace=kubeflow", "kubectl") for line in made.splitlines()]
    assert [command for command in ran if command not in LINES] == [
        "kubectl delete tfjob multi-worker-training --ignore-not-found --cascade=foreground",
        "kubectl wait --for=jsonpath='{.status.completionTime}' tfjob/multi-worker-training --timeout=65m",
        "kubectl wait --for=condition=Succeeded tfjob/multi-worker-training --timeout=1s",
    ]
    other = {"kind": "k3d", "k3d": "kind"}[tool]
    shown = LINES[: LINES.index("kubectl logs --follow multi-worker-training-worker-0") + 1]
    assert [command for command in shown if command not in ran and not command.startswith(other)] == [
        "kubectl kustomize manifests/kubeflow-training | kubectl apply -f -",
        "kubectl get tfjob,pods",
    ]


def test_the_resubmit_lines_differ_only_in_loading_the_image() -> None:
    lines = [line.split("; ") for line in LINES if line.startswith("kubectl delete tfjob --all; ")]
    assert [line[2] for line in lines] == [
        "kind load docker-image --name distml kubeflow/multi-worker-strategy:v0.1",
        "k3d image import --cluster distml kubeflow/multi-worker-strategy:v0.1",
    ]
    assert lines[0][:2] + lines[0][3:] == lines[1][:2] + lines[1][3:]


def test_make_clean_workflows_runs_the_cluster_pages_lines() -> None:
    made = dry_run("clean-workflows")
    ran = [line.replace("kubectl --namespace=kubeflow", "kubectl") for line in made.splitlines()]
    expected = [line.replace("strategy-volume --ignore-not-found", "strategy-volume") for line in ran]
    start = LINES.index(expected[0])
    assert LINES[start : start + len(ran)] == expected


def test_the_clean_up_deletes_both_keys_that_pods_mount() -> None:
    mounted = [
        volume for template in load("workflow.yaml")["spec"]["templates"] for volume in template.get("volumes", [])
    ]
    (secret,) = (volume["secret"]["secretName"] for volume in mounted if "secret" in volume)
    (public,) = (volume["configMap"]["name"] for volume in mounted if "configMap" in volume)
    assert f"kubectl delete secret/{secret} configmap/{public} --ignore-not-found" in LINES
