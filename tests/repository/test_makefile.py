"""The Makefile: the variables that it accepts, and what its targets pass to the scripts."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

import local_pipeline
import pipeline_admin
import serve
from distml.step.volume import Volume
from support.clone import Clone
from support.makefile import TEXT, VARIABLES, dry_run
from support.project import ROOT, SOURCE

ASSIGNED = set(re.findall(r"^(\w+) [:?]?=", TEXT, re.MULTILINE))
PRIVATE = {"VARIABLES", "given", "unknown", "quoted", "RUN", "KUBECTL", "CREATE_CLUSTER", "DELETE_CLUSTER"}


@pytest.mark.parametrize(
    ("variables", "misspelt"),
    [(["EPOCH=1"], "EPOCH"), (["WORKER=3", "EPOCHS=1", "DATE=a b=c"], "DATE WORKER"), (["RUN=python3"], "RUN")],
)
def test_a_misspelt_make_variable_is_refused_before_anything_runs(
    clone: Clone, variables: list[str], misspelt: str
) -> None:
    ended = clone.run("make", "run", *variables)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert f": *** no such variable: {misspelt}; expected one of {' '.join(VARIABLES)}.  Stop." in ended.stderr
    assert not (clone.folder / ".venv").exists()


def test_the_accepted_make_variables_are_the_assigned_ones() -> None:
    assert set(VARIABLES) == ASSIGNED - PRIVATE | {"PYTHON"}


def test_every_accepted_make_variable_may_have_any_value(clone: Clone) -> None:
    values = [f"{name}=it's a=b $$c" for name in VARIABLES if name != "FRESH"]
    assert clone.run("make", "help", *values, "FRESH=1").returncode == 0


def test_a_value_with_a_line_break_is_refused_before_anything_runs(clone: Clone) -> None:
    ended = clone.run("make", "roll-back", "REASON=two\nlines")
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert ended.stderr.endswith(": *** REASON has a line break; expected one line.  Stop.\n")


def test_the_make_commands_in_messages_and_ci_use_accepted_variables() -> None:
    files = [*SOURCE.rglob("*.py"), ROOT / ".ci/run"]
    commands = [
        found for file in files for found in re.findall(r"\bmake(?: [a-z-]+)+((?: \w+=\S*)+)", file.read_text())
    ]
    assert len(commands) > 4
    assert {name for command in commands for name in re.findall(r" (\w+)=", command)} <= set(VARIABLES)


def test_make_reads_no_variable_of_the_environment_but_python() -> None:
    used = set(re.findall(r"\$\(([A-Z]\w+)\)", TEXT))
    assert used - ASSIGNED == {"MAKE", "MAKEFILE_LIST"}
    names = "help doctor run serve history roll-back test test-hostile reliability lint format bench clean cluster"
    targets = [*names.split(), "image", "install", "train", "workflow", "workflow-template", "retrain", "dashboard"]
    targets.append("clean-cluster")
    assert dry_run(*targets) == dry_run(*targets, **dict.fromkeys(ASSIGNED, "7"))


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


@pytest.mark.parametrize(
    ("variables", "options"),
    [
        (["DATA=a b"], ["--volume", "a b"]),
        (["TO=3", "REASON=it's $5 & $(DATA)"], ["--volume", "./trained_model", "--to=3", "--reason=it's $5 & $(DATA)"]),
        (["REASON=-1"], ["--volume", "./trained_model", "--reason=-1"]),
    ],
)
def test_make_roll_back_passes_its_variables_unchanged(variables: list[str], options: list[str]) -> None:
    first, program = dry_run("roll-back", *variables).split("\n", 1)
    assert first == "sh environment.sh run"
    python, script, subcommand, *arguments = shlex.split(program.replace("\\\n", " "))
    assert (python, script, subcommand) == (".venv/bin/python", "src/pipeline_admin.py", "roll-back")
    assert arguments == options
    pipeline_admin.parse_args(["roll-back", *arguments])


def test_make_history_names_the_volume() -> None:
    _, program = dry_run("history", "DATA=a b").splitlines()
    assert shlex.split(program) == [".venv/bin/python", "src/pipeline_admin.py", "history", "--volume", "a b"]


def parsed_by_make_run(**variables: str) -> dict:
    """Parse the arguments that `make run` with these variables passes to the script."""
    printed = dry_run("run", *(f"{name}={value}" for name, value in variables.items()))
    first, program = printed.split("\n", 1)
    assert first == "sh environment.sh run"
    python, script, *arguments = shlex.split(program.replace("\\\n", " "))
    assert (python, script) == (".venv/bin/python", "src/local_pipeline.py")
    return vars(local_pipeline.parse_args(arguments))


def test_make_run_passes_its_variables_unchanged(tmp_path: Path) -> None:
    source = tmp_path / "my folder"
    source.mkdir()
    numbers = {"WORKERS": "3", "EPOCHS": "2", "BATCH_PER_WORKER": "32", "LEARNING_RATE": "0.01"}
    numbers |= {"SEEDS": "3", "FRESH": "1", "FLOOR": "0.9", "CLASS_FLOOR": "0.6", "TOLERANCE": "1"}
    assert parsed_by_make_run(DATA="it's a volume", MODELS="plain batchnorm", SOURCE=str(source), **numbers) == {
        **vars(local_pipeline.parse_args([])),
        **{"volume": Volume(Path("it's a volume")), "models": ["plain", "batchnorm"], "source": str(source)},
        **{
            "workers": 3,
            "epochs": 2,
            "batch_per_worker": 32,
            "learning_rate": 0.01,
            "seeds": 3,
            "fresh": True,
            "accuracy_floor": 0.9,
            "class_floor": 0.6,
            "tolerance": 1.0,
        },
    }


def test_make_run_without_variables_uses_the_defaults() -> None:
    assert parsed_by_make_run() == vars(local_pipeline.parse_args(["--volume", "trained_model"]))


@pytest.mark.parametrize(("variables", "release"), [([], "instant"), (["RELEASE=guarded"], "guarded")])
def test_make_serve_passes_its_variables_to_the_script(variables: list[str], release: str) -> None:
    printed = dry_run("serve", "DATA=a b", "HTTP_PORT=1", "GRPC_PORT=2", *variables)
    first, program = printed.split("\n", 1)
    assert first == "sh environment.sh run"
    python, script, *arguments = shlex.split(program.replace("\\\n", " "))
    assert (python, script) == (".venv/bin/python", "src/serve.py")
    changed = {"volume": Volume(Path("a b")), "host": "localhost", "http_port": 1, "grpc_port": 2, "release": release}
    assert vars(serve.parse_args(arguments)) == {**vars(serve.parse_args([])), **changed}


@pytest.mark.parametrize("target", ["workflow", "retrain"])
def test_make_does_not_print_the_shell_that_waits_for_a_workflow(clone: Clone, target: str) -> None:
    clone.program("kubectl", "echo no cluster >&2; exit 1")
    ended = clone.run("make", target)
    assert (ended.returncode, ended.stdout, ended.stderr.splitlines()[0]) == (2, "", "no cluster")


# Takes the place of kubectl for a workflow that has ended in a phase.
ENDED = """case "$*" in
  *" create "*) echo workflow.argoproj.io/distml-x;;
  *--output=jsonpath=*) echo '%s 1/2 ';;
  *--output=go-template=*) echo 'check(0): the reason';;
esac"""


@pytest.mark.parametrize(
    ("phase", "status", "last"),
    [("Succeeded", 0, []), ("Failed", 2, ["check(0): the reason"]), ("Error", 2, ["check(0): the reason"])],
)
def test_make_workflow_ends_with_the_workflow(clone: Clone, phase: str, status: int, last: list[str]) -> None:
    clone.program("kubectl", ENDED % phase)
    ended = clone.run("make", "--no-print-directory", "workflow")
    assert (ended.returncode, ended.stdout.splitlines()) == (
        status,
        [f"workflow.argoproj.io/distml-x: {phase} 1/2 ", *last],
    )


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
