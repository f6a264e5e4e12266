"""The administrator's script: its subcommands, its help, and what it imports."""

import re
import subprocess
import sys

import pytest

import pipeline_admin
from support.project import SOURCE, run_script

SUBCOMMANDS = ("end-training", "smoke-test", "confirm-release", "history", "release", "withdraw", "roll-back")


def test_pipeline_admins_help_lists_each_subcommand_on_its_own_line() -> None:
    printed = run_script("pipeline_admin.py", "--help", COLUMNS="120").stdout
    assert tuple(re.findall("^    ([a-z-]+)", printed, re.MULTILINE)) == SUBCOMMANDS


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_the_help_of_a_subcommand_shows_its_usage(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        pipeline_admin.parse_args([name, "--help"])
    printed = capsys.readouterr().out
    assert ended.value.code == 0
    assert f" {name} [-h] [--volume VOLUME]" in printed


@pytest.mark.parametrize(
    ("words", "message"),
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
def test_a_wrong_command_line_exits_with_2_and_one_line(words: list[str], message: str) -> None:
    ended = run_script("pipeline_admin.py", *words)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert ended.stderr.startswith(f"pipeline_admin.py: {message}")


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_no_subcommand_of_pipeline_admin_loads_tensorflow(name: str) -> None:
    libraries = {
        "end-training": "distml.training.group.tfjobs",
        "smoke-test": "distml.publishing.service.smoke_test",
        "confirm-release": "distml.publishing.service.confirmation",
    }
    library = libraries.get(name, "distml.publishing.versions.decisions")
    code = f"import pipeline_admin, {library}, sys; print({{'tensorflow', 'keras'}} & {{*sys.modules}})"
    started = subprocess.run([sys.executable, "-c", code], cwd=SOURCE, capture_output=True, text=True, check=True)
    assert started.stdout == "set()\n"
