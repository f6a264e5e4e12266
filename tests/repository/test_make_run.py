"""The arguments that `make run` passes to the pipeline's script."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

import local_pipeline
from distml.step.volume import Volume
from support.project import ROOT


def parsed_by_make_run(**variables: str) -> dict:
    """Parse the arguments that `make run` with these variables passes to the script."""
    command = ["make", "-n", "run", *(f"{name}={value}" for name, value in variables.items())]
    environment = {"PATH": os.environ["PATH"]}  # without the variables of the make that runs the tests
    printed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    first, program = printed.split("\n", 1)
    assert first == "sh environment.sh run"
    python, script, *arguments = shlex.split(program.replace("\\\n", " "))
    assert (python, script) == (".venv/bin/python", "src/local_pipeline.py")
    return vars(local_pipeline.parse_args(arguments))


def test_make_run_passes_its_variables_unchanged(tmp_path: Path) -> None:
    source = tmp_path / "my folder"
    source.mkdir()
    numbers = {"WORKERS": "3", "EPOCHS": "2", "BATCH_PER_WORKER": "32", "FRESH": "1", "FLOOR": "0.9", "TOLERANCE": "1"}
    assert parsed_by_make_run(DATA="it's a volume", MODELS="plain batchnorm", SOURCE=str(source), **numbers) == {
        **vars(local_pipeline.parse_args([])),
        **{"volume": Volume(Path("it's a volume")), "models": ["plain", "batchnorm"], "source": str(source)},
        **{"workers": 3, "epochs": 2, "batch_per_worker": 32, "fresh": True, "accuracy_floor": 0.9, "tolerance": 1.0},
    }


def test_make_run_without_variables_uses_the_defaults() -> None:
    assert parsed_by_make_run() == vars(local_pipeline.parse_args(["--volume", "trained_model"]))


def test_make_run_refuses_a_value_of_fresh_other_than_1_and_0() -> None:
    ended = subprocess.run(["make", "-n", "run", "FRESH=yes"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.endswith("*** FRESH is yes; expected 1, to start over, or 0.  Stop.\n")


def test_make_run_refuses_a_volume_without_a_name_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed_by_make_run(DATA="")
    assert capsys.readouterr().err.endswith(
        "the volume's folder has no name; give one, such as ./trained_model; see --help\n"
    )
