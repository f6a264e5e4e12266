"""The checks of `make install`, with a stand-in for kubectl that answers with a cluster's JSON."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.check_cluster import LABEL, PATH

KUBECTL = f"""#!{sys.executable}
import json, pathlib, sys
answers = json.loads((pathlib.Path(__file__).parent / "answers.json").read_text())
if sys.argv[1] == "create":
    tries = pathlib.Path(__file__).with_name("tries")
    done = len(tries.read_text()) if tries.exists() else 0
    tries.write_text("x" * (done + 1))
    error = answers["create"][min(done, len(answers["create"]) - 1)]
    sys.exit(error or None)
words = [word for word in sys.argv[2:] if not word.startswith("--")]
names = ["cluster-wide"] if len(words) > 2 else ",".join(words).split(",")
print(json.dumps({{"kind": "List", "items": [each for name in names for each in answers.get(name, [])]}}))
"""
ADVICE = "; use what is there, or go on by hand: see 'A cluster that others use too' in docs/cluster.md\n"
OURS = dict([LABEL])


def thing(kind: str, name: str, namespace: str | None = None, labels: dict | None = None, **spec: Any) -> dict:
    metadata = {
        "name": name,
        **({"namespace": namespace} if namespace else {}),
        **({"labels": labels} if labels else {}),
    }
    return {"kind": kind, "metadata": metadata, "spec": spec}


def deployment(namespace: str, name: str, *args: str, image: str = "", labels: dict | None = None) -> dict:
    container = {"name": name, "image": image or f"quay.io/argoproj/{name}:v4.1.2", "args": list(args)}
    return thing("Deployment", name, namespace, labels, template={"spec": {"containers": [container]}})


def definition(name: str, labels: dict | None = None) -> dict:
    return thing("CustomResourceDefinition", name, labels=labels)


FORMER = [
    deployment("kubeflow", "workflow-controller", "--namespaced", "--executor-image=mirror/argoexec:v4.1.2"),
    deployment("kubeflow", "training-operator", "--enable-scheme=tfjob", "--namespace=kubeflow"),
]
MARKS = {
    "configmap_pipeline-limits": [thing("ConfigMap", "pipeline-limits", "kubeflow")],
    "rolebinding_workflow-cache": [thing("RoleBinding", "workflow-cache", "kubeflow")],
}
OPERATOR = deployment("kubeflow", "training-operator", labels=OURS)
NAMESPACE = thing("Namespace", "kubeflow")
MYSQL = deployment("kubeflow", "mysql", image="mysql")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "kubectl"
    path.write_text(KUBECTL)
    path.chmod(0o755)
    return path


def check(program: Path, *arguments: str, **answers: list) -> subprocess.CompletedProcess[str]:
    program.with_name("answers.json").write_text(
        json.dumps({name.replace("_", "/"): each for name, each in answers.items()})
    )
    environment = os.environ | {"PATH": f"{program.parent}:{os.environ['PATH']}"}
    command = [sys.executable, str(PATH), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)


def before(program: Path, workloads: list, wide: list, **answers: list) -> tuple[int, str]:
    lists = {"deployments": workloads, "cluster-wide": wide, **answers}
    ended = check(program, "before", **lists)
    return ended.returncode, ended.stdout + ended.stderr


@pytest.mark.parametrize(("workloads", "labels"), [([], None), ([OPERATOR], OURS)], ids=["none", "labelled"])
def test_a_cluster_with_no_controllers_but_ours_passes(program: Path, workloads: list, labels: dict | None) -> None:
    wide = [definition("tfjobs.kubeflow.org", labels)] if workloads else []
    assert before(program, workloads, wide, namespace_kubeflow=[NAMESPACE]) == (0, "")


@pytest.mark.parametrize("workloads", [FORMER, FORMER[:1], []], ids=["both", "one", "none"])
def test_a_release_without_labels_passes_with_or_without_its_controllers(program: Path, workloads: list) -> None:
    wide = [definition("workflows.argoproj.io"), definition("tfjobs.kubeflow.org")]
    assert before(program, workloads, wide, namespace_kubeflow=[NAMESPACE], **MARKS) == (0, "")


def test_our_accounts_alone_do_not_make_anothers_controller_ours(program: Path) -> None:
    limits = {"configmap_pipeline-limits": MARKS["configmap_pipeline-limits"]}
    status, sentence = before(program, FORMER[:1], [], **limits)
    assert (status, "controllers (deployment/kubeflow/workflow-controller) of other" in sentence) == (2, True)
    labelled = {name: [thing(found["kind"], "a", labels=OURS)] for name, (found,) in MARKS.items()}
    assert before(program, FORMER[:1], [], **labelled) == (status, sentence)


@pytest.mark.parametrize(
    ("wide", "namespace", "found"),
    [
        ([definition("workflows.argoproj.io")], [], "cluster-wide objects (customresourcedefinition/workflows"),
        ([], [NAMESPACE], "workloads in the namespace kubeflow (deployment/kubeflow/mysql)"),
    ],
)
def test_an_operator_of_ours_does_not_hide_what_others_own(
    program: Path, wide: list, namespace: list, found: str
) -> None:
    status, sentence = before(program, [OPERATOR, MYSQL], wide, namespace_kubeflow=namespace)
    assert (status, sentence.startswith(f"this cluster has {found}")) == (2, True)


@pytest.mark.parametrize(
    ("name", "arguments", "stops"),
    [
        ("workflow-controller", [], True),
        ("workflow-controller", ["--namespaced"], False),
        ("workflow-controller", ["--namespaced=false"], True),
        ("workflow-controller", ["--namespaced", "--managed-namespace", "kubeflow"], True),
        ("training-operator", ["--namespace=team"], False),
        ("training-operator", ["--namespace=kubeflow"], True),
        ("v1-tf-operator-2", [], True),
        ("otf-operator", [], False),
    ],
)
def test_only_a_controller_that_watches_our_namespace_is_a_second_one(
    program: Path, name: str, arguments: list[str], stops: bool
) -> None:
    status, sentence = before(program, [deployment("team", name, *arguments)], [])
    assert (status, "run a second controller for the same objects" in sentence) == ((2, True) if stops else (0, False))


def test_definitions_that_our_clean_up_left_pass(program: Path) -> None:
    assert before(program, [], [definition("tfjobs.kubeflow.org", OURS)]) == (0, "")


def test_argo_in_another_namespace_stops_make_install(program: Path) -> None:
    argo = deployment("argo", "argo-workflows-workflow-controller", image="quay.io/argoproj/workflow-controller")
    wide = [definition(f"{kind}.argoproj.io") for kind in ("cronworkflows", "workflows", "workflowtasksets")]
    objects = {"workflows.argoproj.io": [thing("Workflow", "a", "team")] * 12}
    assert before(program, [argo], wide, **objects) == (
        2,
        "this cluster has controllers (deployment/argo/argo-workflows-workflow-controller) and cluster-wide objects "
        "(customresourcedefinition/cronworkflows.argoproj.io, customresourcedefinition/workflows.argoproj.io and "
        "customresourcedefinition/workflowtasksets.argoproj.io) of other owners; make install would overwrite "
        "customresourcedefinition/cronworkflows.argoproj.io, customresourcedefinition/workflows.argoproj.io and "
        "customresourcedefinition/workflowtasksets.argoproj.io and run a second controller for the same objects; its "
        f"clean-up would delete 12 Workflow{ADVICE}",
    )


def test_kubeflow_in_the_same_namespace_stops_make_install(program: Path) -> None:
    arguments = ("--configmap", "workflow-controller-configmap", "--namespaced")
    found = [deployment("kubeflow", "workflow-controller", *arguments), MYSQL]
    assert before(program, found, [], namespace_kubeflow=[NAMESPACE]) == (
        2,
        "this cluster has controllers (deployment/kubeflow/workflow-controller) and workloads in the namespace "
        "kubeflow (deployment/kubeflow/mysql) of other owners; make install would overwrite "
        "deployment/kubeflow/workflow-controller and make the namespace refuse pods that are not restricted; its "
        f"clean-up would delete the namespace kubeflow with everything in it{ADVICE}",
    )


def test_workloads_with_the_pipelines_claim_are_not_of_other_owners(program: Path) -> None:
    predictor = deployment("kubeflow", "flower-sample-predictor")
    claim = {"persistentVolumeClaim": {"claimName": "strategy-volume"}}
    predictor["spec"]["template"]["spec"]["volumes"] = [claim]
    assert before(program, [predictor], [], namespace_kubeflow=[NAMESPACE]) == (0, "")


def test_a_long_list_of_others_is_shortened(program: Path) -> None:
    status, sentence = before(program, [], [definition(f"{letter}.argoproj.io") for letter in "abcde"])
    names = [f"customresourcedefinition/{letter}.argoproj.io" for letter in "abc"]
    assert (status, f"({', '.join(names)} and 2 more)" in sentence) == (2, True)


def test_a_cluster_that_cannot_be_asked_ends_with_kubectls_error(program: Path) -> None:
    program.write_text("#!/bin/sh\necho 'The connection was refused' >&2; exit 1\n")
    ended = check(program, "before")
    assert (ended.returncode, ended.stderr) == (1, "kubectl cannot look at the cluster: The connection was refused\n")


WEBHOOK = 'failed calling webhook "validator.tfjob.training-operator.kubeflow.org": connect: connection refused'


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([""], (0, "")),
        (['Warning: a\ntfjobs.kubeflow.org "multi-worker-training" already exists'], (0, "")),
        ([WEBHOOK, ""], (0, "")),
    ],
)
def test_the_wait_ends_when_the_server_accepts_a_tfjob(program: Path, errors: list, expected: tuple) -> None:
    ended = check(program, "after", create=errors)
    assert (ended.returncode, ended.stdout + ended.stderr) == expected


def test_the_wait_is_bounded_and_ends_with_the_last_error(program: Path) -> None:
    ended = check(program, "after", "--seconds=0", create=[WEBHOOK])
    sentence = f"the cluster is not ready after 0 s: {WEBHOOK}; look at the pods in kubeflow\n"
    assert (ended.returncode, ended.stderr) == (1, sentence)
