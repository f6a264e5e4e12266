"""README's commands, links and paths are real."""

import json
import os
import re
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

import data_ingestion
import grpc_client
import http_client
import local_pipeline
import model_selection
import multi_worker_distributed_training
import predict_service
from distml.serving.http import front_door
from distml.step.volume import Volume
from support.project import ROOT

README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^    ((?:make|\.venv/bin/|curl|hey|go ).*)$", README, re.MULTILINE)
STEPS = {
    "src/data_ingestion.py": data_ingestion,
    "src/multi_worker_distributed_training.py": multi_worker_distributed_training,
    "src/model_selection.py": model_selection,
    "src/predict_service.py": predict_service,
    "src/http_client.py": http_client,
    "src/grpc_client.py": grpc_client,
}


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_every_make_command_names_a_target() -> None:
    named = [shlex.split(command)[1] for command in COMMANDS if command.startswith("make")]
    assert named == ["doctor", "run", "test", "serve"]
    assert set(named) <= targets()


def parsed_by_make_run(**variables: str) -> dict:
    """What the pipeline's script is told by `make run` with these variables."""
    command = ["make", "-n", "run", *(f"{name}={value}" for name, value in variables.items())]
    alone = {"PATH": os.environ["PATH"]}  # not the variables of the make that runs the tests
    printed = subprocess.run(command, cwd=ROOT, env=alone, capture_output=True, text=True, check=True).stdout
    environment, program = printed.split("\n", 1)
    assert environment == "sh environment.sh run"
    python, script, *arguments = shlex.split(program.replace("\\\n", " "))
    assert (python, script) == (".venv/bin/python", "src/local_pipeline.py")
    return vars(local_pipeline.parse_args(arguments))


def test_make_run_passes_its_variables_on_as_they_are(tmp_path: Path) -> None:
    source = tmp_path / "my folder"
    source.mkdir()
    numbers = {"WORKERS": "3", "EPOCHS": "2", "BATCH_PER_WORKER": "32", "FRESH": "1", "FLOOR": "0.9", "TOLERANCE": "1"}
    assert parsed_by_make_run(DATA="it's a volume", MODELS="plain batchnorm", SOURCE=str(source), **numbers) == {
        **vars(local_pipeline.parse_args([])),
        **{"volume": Volume(Path("it's a volume")), "models": ["plain", "batchnorm"], "source": str(source)},
        **{"workers": 3, "epochs": 2, "batch_per_worker": 32, "fresh": True, "accuracy_floor": 0.9, "tolerance": 1.0},
    }


def test_make_run_refuses_a_fresh_that_is_neither_1_nor_0() -> None:
    ended = subprocess.run(["make", "-n", "run", "FRESH=yes"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.endswith("*** FRESH is yes; expected 1, to start over, or 0.  Stop.\n")


def test_make_run_without_variables_takes_the_defaults_and_the_folder_here() -> None:
    assert parsed_by_make_run() == vars(local_pipeline.parse_args(["--volume", "trained_model"]))


def test_make_run_on_a_volume_without_a_name_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed_by_make_run(DATA="")
    assert capsys.readouterr().err.endswith(
        "the volume's folder has no name; give one, such as ./trained_model; see --help\n"
    )


def test_every_step_command_names_a_script_and_passes_its_arguments() -> None:
    words = [shlex.split(command) for command in COMMANDS if command.startswith(".venv/bin/python ")]
    assert len(words) == 6
    for _, script, *arguments in words:
        parsed = STEPS[script].parse_args(arguments)
        assert all((ROOT / image).is_file() for image in getattr(parsed, "images", []))


def test_every_request_of_curl_and_hey_is_for_a_route_that_exists_with_a_body_that_exists() -> None:
    words = [shlex.split(command) for command in COMMANDS if command.startswith(("curl", "hey"))]
    assert [command[0] for command in words] == ["curl", "curl", "curl", "hey"]
    paths = [command[-1].removeprefix("http://localhost:8080") for command in words]
    predict, ready = "/v1/models/flower-sample:predict", "/v2/models/flower-sample/ready"
    assert paths == [predict, ready, "/metrics", predict]
    assert front_door.INFERENCE.fullmatch(predict)
    bodies = [word.removeprefix("@") for command in words for flag, word in pairwise(command) if flag in ("-d", "-D")]
    assert bodies == ["inference-input.json"] * 2
    assert json.loads((ROOT / bodies[0]).read_text())["instances"][0].keys() == {"image_bytes"}


def test_every_command_is_of_a_kind_that_is_checked() -> None:
    kinds = {shlex.split(command)[0] for command in COMMANDS}
    assert kinds == {"make", "curl", "hey", "go", ".venv/bin/python", ".venv/bin/tensorboard"}
    assert [command for command in COMMANDS if command.startswith("go ")] == ["go install github.com/rakyll/hey@latest"]


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(links) >= 6
    assert [link for link in links if not link.startswith("https://") and not (ROOT / link).exists()] == []


def test_every_variable_of_the_table_is_one_of_the_makefiles() -> None:
    variables = re.findall(r"^\| `([A-Z_]+)` \|", README, re.MULTILINE)
    assert variables == [
        *("WORKERS", "EPOCHS", "BATCH_PER_WORKER", "MODELS", "DATA", "SOURCE", "FRESH", "FLOOR", "TOLERANCE", "PYTHON"),
    ]
    defaults = dict(re.findall(r"^\| `([A-Z_]+)` \| `?([^`|]+?)`? \|", README, re.MULTILINE))
    taken = local_pipeline.parse_args([])
    shown = [float(defaults[name]) for name in ("WORKERS", "EPOCHS", "BATCH_PER_WORKER", "FLOOR", "TOLERANCE")]
    assert shown == [taken.workers, taken.epochs, taken.batch_per_worker, taken.accuracy_floor, taken.tolerance]
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"$({name})" in makefile for name in variables if name != "PYTHON")
    assert "${PYTHON-}" in (ROOT / "environment.sh").read_text()
