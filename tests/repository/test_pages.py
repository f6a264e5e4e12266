"""The commands, links and names in README and the other pages are real."""

import importlib
import json
import re
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

import local_pipeline
import serve
from distml.serving.http import routes
from support import makefile, pages
from support.pages import PAGES, all_commands, name
from support.project import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
README = (ROOT / "README.md").read_text()
CHECKED_HERE = {"make", "openssl", "kubectl", "curl", "hey", "python3", ".venv/bin/python"}
# Programs with arguments that do not depend on files of this project, and assignments such as `SERVICE_HOSTNAME=…`.
NOT_CHECKED = {
    *(
        "bash",
        "cut",
        "docker",
        "export",
        "go",
        "grep",
        "grpcurl",
        "helm",
        "k3d",
        "kind",
        "sed",
        "tail",
        "tensorflow_model_server",
    ),
    *("SERVICE_HOSTNAME=$(kubectl", "WORKFLOW=$(kubectl", ".venv/bin/tensorboard"),
}


def words(start: str) -> list[list[str]]:
    return [shlex.split(command) for command in all_commands(start)]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the page's headings."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_of_a_page_has_a_target(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", page.read_text()) if not link.startswith("https://")]
    targets = [(page.parent / path if path else page, anchor) for path, _, anchor in (x.partition("#") for x in links)]
    assert [str(target) for target, _ in targets if not target.exists()] == []
    assert [anchor for target, anchor in targets if anchor and anchor not in anchors(target)] == []


def test_each_page_is_linked_from_readme() -> None:
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in re.findall(r"\]\(([^)]+)\)", README)}
    assert [name(page) for page in PAGES if page.resolve() not in linked and page.name != "README.md"] == []


def test_readme_has_fewer_than_230_lines() -> None:
    assert len(README.splitlines()) < 230


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_of_a_page_starts_with_a_known_program(page: Path) -> None:
    assert {command.split()[0] for command in pages.commands(page)} - CHECKED_HERE - NOT_CHECKED == set()


def test_every_make_command_of_a_page_names_targets_and_variables() -> None:
    named = [word for command in words("make ") for word in command[1:]]
    assert {"doctor", "run", "test", "serve", "install", "workflow", "test-cluster"} <= set(named)
    assert len(named) > 60
    variables = {word.partition("=")[0] for word in named if "=" in word}
    assert variables - set(makefile.VARIABLES) == set()
    assert {word for word in named if "=" not in word} - makefile.TARGETS == set()


def test_every_script_accepts_the_arguments_on_the_pages() -> None:
    run = words(".venv/bin/python src/")
    assert len(run) > 8
    for _, script, *arguments in run:
        filled = [argument.replace("$SERVICE_HOSTNAME", "flower-sample-kubeflow.example.com") for argument in arguments]
        parsed = importlib.import_module(Path(script).stem).parse_args(filled)
        assert all((ROOT / image).is_file() for image in getattr(parsed, "images", []))


def test_every_script_that_the_pages_run_in_a_pod_is_in_the_image() -> None:
    modules = {link: module for module, link in re.findall(r"ln -s /opt/pipeline/src/(\w+)\.py (\S+)", DOCKERFILE)}
    run = words("python3 /")
    assert len(run) >= 2
    for _, script, *arguments in run:
        importlib.import_module(modules[script]).parse_args(arguments)


def test_every_pytest_command_of_a_page_selects_a_test() -> None:
    run = words(".venv/bin/python -m pytest")
    assert len(run) >= 3
    for _, _, _, path, *options in run:
        files = [ROOT / path] if path.endswith(".py") else list((ROOT / path).rglob("test_*.py"))
        tests = [test for file in files for test in re.findall(r"def (test_\w+)", file.read_text())]
        assert [test for test in tests if not options or options[1] in test] != [], path


def test_every_request_on_the_pages_has_an_existing_route_and_body() -> None:
    requests = words("curl ") + words("hey ")
    predictor = [command for command in requests if re.search(r"//localhost:80\d\d/", command[-1])]
    assert len(predictor) > 8
    paths = {re.sub(r"^http://localhost:\d+", "", command[-1]) for command in predictor}
    predict, ready = "/v1/models/flower-sample:predict", "/v2/models/flower-sample/ready"
    status = "/v1/models/flower-sample"
    assert paths == {predict, predict.replace("flower-sample", "fashion"), status, ready, "/metrics"}
    assert routes.parse(predict) == ("v1", "flower-sample", None, None, "predict")
    options = [pair for command in predictor for pair in pairwise(command)]
    assert {word.removeprefix("@") for flag, word in options if flag in ("-d", "-D", "--data")} == {
        "inference-input.json"
    }
    assert json.loads((ROOT / "inference-input.json").read_text())["instances"][0].keys() == {"image_bytes"}


def test_every_file_given_to_kubectl_exists() -> None:
    named = re.findall(r"(?:-f|kustomize) ([\w./-]+)", "\n".join(all_commands("kubectl ")))
    files = {file for file in named if file not in ("-", "https")}
    assert {"multi-worker-tfjob.yaml", "multi-worker-pvc.yaml", "workflow.yaml", "manifests"} <= files
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_every_sed_command_on_the_pages_changes_its_file() -> None:
    filters = "/runAsUser: [0-9]/d"  # see test_kustomizations.py
    edits = [command for command in words("sed ") if (ROOT / command[-1]).is_file() and filters not in command]
    assert len(edits) >= 3
    for command in edits:
        edited = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
        expressions = [word for word in command[1:-1] if word != "-e"]
        changed = [line for line in edited.splitlines() if line not in (ROOT / command[-1]).read_text().splitlines()]
        assert len(changed) == len(expressions), command


def test_kubectl_commands_use_the_object_names_of_the_yaml_files() -> None:
    commands = "\n".join(all_commands("kubectl "))
    for pod in ("predict-service", "access-model"):
        assert f"  name: {pod}\n" in (ROOT / f"{pod}.yaml").read_text()
        assert f"pod/{pod}" in commands
    assert "  name: multi-worker-training\n" in (ROOT / "multi-worker-tfjob.yaml").read_text()
    assert "multi-worker-training-worker-0" in commands


def test_readmes_table_has_the_variables_and_their_defaults() -> None:
    defaults = dict(re.findall(r"^\| `([A-Z_]+)` \| `?([^`|]+?)`? \|", README, re.MULTILINE))
    assert " ".join(defaults) == (
        "WORKERS EPOCHS BATCH_PER_WORKER LEARNING_RATE PRECISION MODELS SEEDS DATA SOURCE FRESH FLOOR CLASS_FLOOR"
        " TOLERANCE SIGNING_KEY PUBLIC_KEY HOST RELEASE PYTHON"
    )
    parsed = local_pipeline.parse_args([])
    names = ("WORKERS", "EPOCHS", "BATCH_PER_WORKER", "SEEDS", "FLOOR", "CLASS_FLOOR", "TOLERANCE")
    shown = [float(defaults[name]) for name in names]
    assert (defaults["PRECISION"], defaults["RELEASE"]) == (parsed.precision, serve.parse_args([]).release)
    assert shown == [
        *(parsed.workers, parsed.epochs, parsed.batch_per_worker, parsed.seeds),
        *(parsed.accuracy_floor, parsed.class_floor, parsed.tolerance),
    ]
