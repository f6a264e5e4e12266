"""The operator's script: its subcommands, its help, and what it loads."""

import re
import subprocess
import sys

import pytest

import pipeline_admin
from support.project import SOURCE, run_script

SUBCOMMANDS = ("end-training", "smoke-test")


def test_its_help_names_each_subcommand_in_a_line() -> None:
    printed = run_script("pipeline_admin.py", "--help", COLUMNS="120").stdout
    assert tuple(re.findall("^    ([a-z-]+)", printed, re.MULTILINE)) == SUBCOMMANDS


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_a_subcommands_help_tells_its_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        pipeline_admin.parse_args([name, "--help"])
    printed = capsys.readouterr().out
    assert ended.value.code == 0
    assert f" {name} [-h] [--volume VOLUME]" in printed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["end-trainings"], "argument SUBCOMMAND: invalid choice: 'end-trainings' (choose from "),
        ([], "the following arguments are required: SUBCOMMAND; see --help"),
        (["end-training", "--workflow=w", "--model=other"], "argument --model: invalid choice: 'other' (choose from "),
        (
            ["end-training", "--workflow=../w"],
            "argument --workflow: '../w' is not a plain folder name; use letters, digits",
        ),
        (
            ["smoke-test", "--version=x"],
            "argument --version: 'x' is not an integer of 1 or more; see smoke-test --help",
        ),
        (["end-training", "--workflow=w", "--failed-job=j"], "--failed-job needs --model; see end-training --help"),
    ],
)
def test_a_wrong_command_is_one_line_with_status_2(words: list[str], said: str) -> None:
    ended = run_script("pipeline_admin.py", *words)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert ended.stderr.startswith(f"pipeline_admin.py: {said}")


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_neither_it_nor_what_a_subcommand_needs_loads_tensorflow(name: str) -> None:
    library = {"end-training": "distml.training.tfjobs", "smoke-test": "distml.publishing.smoke_test"}[name]
    code = f"import pipeline_admin, {library}, sys; print({{'tensorflow', 'keras'}} & {{*sys.modules}})"
    started = subprocess.run([sys.executable, "-c", code], cwd=SOURCE, capture_output=True, text=True, check=True)
    assert started.stdout == "set()\n"
