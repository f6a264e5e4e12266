"""The commands of README's cluster sections name files, scripts and targets that are there."""

import importlib
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from support.project import ROOT

README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines() if not line.startswith("#")]
COMMANDS = [command.strip() for line in LINES for command in re.split(r"[;|]", line)]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def words(start: str) -> list[list[str]]:
    return [shlex.split(command) for command in COMMANDS if command.startswith(start)]


def test_every_file_that_kubectl_is_given_is_there() -> None:
    named = re.findall(
        r"(?:-f|kustomize) ([\w./-]+)", "\n".join(command for command in COMMANDS if "kubectl" in command)
    )
    files = {name for name in named if name not in ("-", "https")}
    assert {"multi-worker-tfjob.yaml", "multi-worker-pvc.yaml", "manifests"} <= files
    assert [name for name in files if not (ROOT / name).exists()] == []


def test_every_script_that_is_run_in_a_pod_is_in_the_image_and_takes_the_arguments() -> None:
    modules = {link: module for module, link in re.findall(r"ln -s /opt/pipeline/src/(\w+)\.py (\S+)", DOCKERFILE)}
    run = words("python3 /")
    assert len(run) >= 2
    for _, script, *arguments in run:
        importlib.import_module(modules[script]).parse_args(arguments)


def test_every_client_that_is_run_takes_the_arguments() -> None:
    run = words(".venv/bin/python src/")
    assert len(run) == 2
    for _, script, *arguments in run:
        filled = [argument.replace("$SERVICE_HOSTNAME", "flower-sample-kubeflow.example.com") for argument in arguments]
        parsed = importlib.import_module(Path(script).stem).parse_args(filled)
        assert all((ROOT / image).is_file() for image in parsed.images)


def test_the_make_targets_that_are_named_are_there() -> None:
    named = set(re.findall(r"`make ([a-z-]+)", README)) | {line[1] for line in words("make ")}
    assert {"cluster", "image", "install", "train", "serving", "workflow", "clean-workflows", "test-cluster"} <= named
    assert named <= set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


@pytest.mark.parametrize("tool", ["kind", "k3d"])
def test_make_runs_what_readme_shows_and_little_else(tool: str) -> None:
    targets = ("cluster", "image", "install", "train", "clean-cluster")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    made = subprocess.check_output(
        ["make", "--dry-run", *targets, f"CLUSTER_TOOL={tool}"], cwd=ROOT, text=True, env=environment
    )
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


def test_the_resubmit_line_is_the_same_for_both_tools() -> None:
    lines = [line.split("; ") for line in LINES if line.startswith("kubectl delete tfjob --all; ")]
    assert [line[2] for line in lines] == [
        "kind load docker-image --name distml kubeflow/multi-worker-strategy:v0.1",
        "k3d image import --cluster distml kubeflow/multi-worker-strategy:v0.1",
    ]
    assert lines[0][:2] + lines[0][3:] == lines[1][:2] + lines[1][3:]


def test_the_names_of_objects_are_those_of_the_files() -> None:
    for name in ("predict-service", "access-model"):
        assert f"  name: {name}\n" in (ROOT / f"{name}.yaml").read_text()
        assert f"pod/{name}" in README
    assert "  name: multi-worker-training\n" in (ROOT / "multi-worker-tfjob.yaml").read_text()
    assert "multi-worker-training-worker-0" in README
