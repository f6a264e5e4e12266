"""The Makefile: the variables that it accepts, and what its targets pass to the scripts."""

import os
import re
import subprocess

import pytest

from support.clone import Clone
from support.project import ROOT, SOURCE

MAKEFILE = (ROOT / "Makefile").read_text()
ASSIGNED = set(re.findall(r"^(\w+) [:?]?=", MAKEFILE, re.MULTILINE))
PRIVATE = {"VARIABLES", "given", "unknown", "quoted", "RUN", "KUBECTL", "CREATE_CLUSTER", "DELETE_CLUSTER"}
ACCEPTED = re.findall(r"[A-Z_]+", re.findall(r"^VARIABLES := ((?:.*\\\n)*.*)", MAKEFILE, re.MULTILINE)[0])


@pytest.mark.parametrize(
    ("variables", "misspelt"),
    [(["EPOCH=1"], "EPOCH"), (["WORKER=3", "EPOCHS=1", "DATE=a b=c"], "DATE WORKER"), (["RUN=python3"], "RUN")],
)
def test_a_misspelt_make_variable_is_refused_before_anything_runs(
    clone: Clone, variables: list[str], misspelt: str
) -> None:
    ended = clone.run("make", "run", *variables)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert f": *** no such variable: {misspelt}; expected one of {' '.join(ACCEPTED)}.  Stop." in ended.stderr
    assert not (clone.folder / ".venv").exists()


def test_the_accepted_make_variables_are_the_assigned_ones() -> None:
    assert set(ACCEPTED) == ASSIGNED - PRIVATE | {"PYTHON"}


def test_every_accepted_make_variable_may_have_any_value(clone: Clone) -> None:
    values = [f"{name}=it's a=b $$c" for name in ACCEPTED if name != "FRESH"]
    assert clone.run("make", "help", *values, "FRESH=1").returncode == 0


def test_the_make_commands_in_texts_and_messages_use_accepted_variables() -> None:
    files = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *SOURCE.rglob("*.py"), ROOT / ".ci/run"]
    commands = [
        found for file in files for found in re.findall(r"\bmake(?: [a-z-]+)+((?: \w+=\S*)+)", file.read_text())
    ]
    assert len(commands) > 4
    assert {name for command in commands for name in re.findall(r" (\w+)=", command)} <= set(ACCEPTED)


def test_make_reads_no_variable_of_the_environment_but_python() -> None:
    used = set(re.findall(r"\$\(([A-Z]\w+)\)", MAKEFILE))
    assert used - ASSIGNED == {"MAKE", "MAKEFILE_LIST"}
    targets = "help doctor run serve test lint format bench clean cluster image install train workflow clean-cluster"
    command = ["make", "-n", *targets.split()]
    printed = [
        subprocess.run(command, cwd=ROOT, env={"PATH": os.environ["PATH"], **more}, capture_output=True, check=True)
        for more in ({}, dict.fromkeys(ASSIGNED, "7"))
    ]
    assert printed[0].stdout == printed[1].stdout


@pytest.mark.parametrize("place", ["environment", "command line"])
def test_make_accepts_python_from_the_environment_and_as_an_argument(ready_clone: Clone, place: str) -> None:
    if place == "environment":
        ended = ready_clone.run("make", "run", PYTHON="python3.99")
    else:
        ended = ready_clone.run("make", "run", "PYTHON=python3.99")
    assert ended.stderr.startswith("PYTHON is python3.99: there is no such program on the PATH; ")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 2)


SCRIPT = '''"""A script that prints what make gave it."""
import os, sys, beside
assert __doc__
print(beside.__file__, sorted(name for name in os.environ if name.startswith("PYTHON")), "…", sys.argv[1:3])
'''


def test_make_keeps_another_projects_python_variables_from_scripts(ready_clone: Clone) -> None:
    (ready_clone.folder / "src/local_pipeline.py").write_text(SCRIPT)
    (ready_clone.folder / "src/beside.py").touch()
    names = ("PATH", "HOME", "SAFEPATH", "OPTIMIZE", "WARNINGS", "INSPECT", "USERBASE", "PLATLIBDIR", "IOENCODING")
    ended = ready_clone.run("make", "run", "DATA=a b", **{f"PYTHON{name}": "2" for name in names}, LC_ALL="C")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"{ready_clone.folder}/src/beside.py ['PYTHONUTF8'] … ['--volume', 'a b']\n"


def test_make_doctor_passes_its_variables_to_the_script(clone: Clone) -> None:
    ended = clone.run("make", "doctor", "DATA=a b", "SOURCE=c", "WORKERS=3", "HTTP_PORT=1", "GRPC_PORT=2")
    options = ["--volume", "a b", "--source", "c", "--workers", "3", "--http-port", "1", "--grpc-port", "2"]
    assert ended.stdout.splitlines()[1:] == [str(options)]
    (clone.folder / "src/doctor.py").write_text("raise SystemExit(3)")
    assert clone.run("make", "doctor").returncode == 2
