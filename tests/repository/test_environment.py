"""The environment that make makes: by which Python, when anew, and which of the caller's settings count."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support.project import ROOT

# The interpreter itself, though the tests run in an environment made by it.
PYTHON = Path(sys._base_executable)  # type: ignore[attr-defined]
VERSION, RELEASE = "{}.{}".format(*sys.version_info), "{}.{}.{}".format(*sys.version_info)
TOOLS = ("make", "sh", "awk", "sed", "uname", "cksum", "rm", "mv", "cp", "env")
EXPECTED = "expected CPython 3.11, 3.12 or 3.13 with its modules venv and ensurepip"
INSTALL = "install one, such as by apt install python3.12-venv or brew install python@3.13"


class Clone(NamedTuple):
    """A clone with tiny requirements, and a PATH with our tools and the programs of `bin` alone."""

    folder: Path
    bin: Path
    wheels: Path

    def variables(self, **more: str) -> dict[str, str]:
        pip = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.wheels), "HOME": str(self.bin)}
        return {"PATH": f"{self.bin}:{self.bin}/tools", **pip, **more}

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            command, cwd=self.folder, env=self.variables(**more), capture_output=True, text=True, check=False
        )

    def environment(self, *arguments: str, **more: str) -> subprocess.CompletedProcess:
        return self.run("sh", "environment.sh", *arguments, **more)

    def sentence(self, *arguments: str, **more: str) -> str:
        """What is said by a command that must end with status 2 and say one line alone."""
        ended = self.environment(*(arguments or ("run",)), **more)
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
        return ended.stderr.strip()

    def python_line(self, **more: str) -> str:
        return self.environment("doctor", **more).stdout.splitlines()[0]

    def installed(self) -> set[str]:
        return {path.name for path in (self.folder / ".venv").glob("lib/*/site-packages/tiny_*.py")}

    def program(self, name: str, script: str) -> Path:
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def pretending_python(self, name: str, pretence: str) -> Path:
        """A Python that runs what it is given by -c after it has been made to look like another."""
        return self.program(name, f"exec '{PYTHON}' -c 'import sys; {pretence}; exec(sys.argv[-1])' \"$@\"")


def wheel(folder: Path, name: str) -> str:
    """Write the wheel of a one-line package; return its pin."""
    path, info = folder / f"{name}-1.0-py3-none-any.whl", f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(zipfile.ZipInfo(file), text)  # without the time, so that the hash is the same each time
    return f"{name}==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    clone = Clone(tmp_path / "a clone", tmp_path / "bin", tmp_path / "wheels")
    for folder in (clone.folder / "src", clone.folder / "requirements", clone.bin / "tools", clone.wheels):
        folder.mkdir(parents=True)
    for name in ("environment.sh", "Makefile"):
        shutil.copy(ROOT / name, clone.folder)
    for name in TOOLS:
        (clone.bin / "tools" / name).symlink_to(shutil.which(name) or name)
    (clone.bin / f"python{VERSION}").symlink_to(PYTHON)
    clone.program("df", "echo; echo disk 9999999 0 9999999")
    setuptools, *pins = (wheel(clone.wheels, name) for name in ("setuptools", "tiny_run", "tiny_dev", "tiny_bench"))
    for number, name in enumerate(("run", "dev"), 1):
        (clone.folder / f"requirements/{name}.txt").write_text(setuptools + "".join(pins[:number]))
    (clone.folder / "requirements/bench.txt").write_text(pins[2])
    (clone.folder / "src/doctor.py").write_text("import sys; print(sys.argv[1:])\n")
    return clone


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("environment") / "made"


@pytest.fixture
def made(clone: Clone, template: Path) -> Clone:
    """A clone whose environment was made for `run`: once, and then copied to where it would have been made."""
    if not template.exists():
        assert clone.environment("run").returncode == 0
        (clone.folder / ".venv").rename(template)
    shutil.copytree(template, clone.folder / ".venv", symlinks=True)
    change_stamp(clone, r"folder .*", f"folder {clone.folder}")
    return clone


def change_stamp(clone: Clone, pattern: str, line: str) -> None:
    stamp = clone.folder / ".venv/made-from"
    changed = re.sub(pattern, line.replace("\\", r"\\"), stamp.read_text(), count=1)
    stamp.write_text(changed)


def test_the_newest_python_that_works_is_taken(clone: Clone) -> None:
    clone.program("python3.13", "echo 'pyenv: python3.13: command not found' >&2; exit 127")
    (clone.bin / "python3.12").unlink(missing_ok=True)
    for name, minor in {"python3.11": 11, "python3": 12, "python": 14, "python3.10": 13}.items():
        (clone.bin / name).unlink(missing_ok=True)
        clone.pretending_python(name, f'sys.version_info = (3, {minor}, 9, "final", 0)')
    assert clone.python_line() == f"ok    python     3.12.9 {PYTHON}, which will make .venv"


def test_a_wrapper_that_does_not_run_hides_no_python_behind_it(clone: Clone) -> None:
    (clone.bin / "tools" / f"python{VERSION}").symlink_to(PYTHON)
    clone.program(f"python{VERSION}", "exit 127")
    for variables in ({}, {"PYTHON": f"python{VERSION}"}):
        line = clone.python_line(**variables)
        assert line == f"ok    python     {RELEASE} {clone.bin}/tools/python{VERSION}, which will make .venv"


@pytest.mark.parametrize(
    ("pretence", "wrong", "remedy"),
    [
        ('sys.version_info = (3, 9, 2, "final", 0)', "3.9.2 which is too old", INSTALL),
        ('sys.version_info = (2, 7, 18, "final", 0)', "2.7.18 which is too old", INSTALL),
        ('sys.version_info = (3, 14, 0, "final", 0)', "3.14.0 which is too new", INSTALL),
        ('sys.implementation.name = "pypy"', f"{RELEASE} of the implementation pypy", INSTALL),
        ("import struct; struct.calcsize = lambda _: 4", f"{RELEASE} of 32 bits", INSTALL),
        (
            'sys.modules["ensurepip"] = None',
            f"{RELEASE} without its module ensurepip",
            f"apt install python{VERSION}-venv, where apt is",
        ),
        (
            'sys.modules["ssl"] = None',
            f"{RELEASE} without its module ssl",
            "build it again with the headers of that library",
        ),
        (
            'import os; sys.platform = "linux"; os.confstr = lambda _: None',
            f"{RELEASE} without glibc",
            "use a system with glibc 2.28 or later, such as Debian, or a container of it",
        ),
        (
            'import os; sys.platform = "linux"; os.confstr = lambda _: "glibc 2.17"',
            f"{RELEASE} on glibc 2.17, older than 2.28",
            "use a system with glibc 2.28 or later, such as Debian, or a container of it",
        ),
    ],
)
def test_an_unsuitable_python_gets_one_sentence(clone: Clone, pretence: str, wrong: str, remedy: Any) -> None:
    (clone.bin / f"python{VERSION}").unlink()
    fake = clone.pretending_python("python3", pretence)
    found = f"{fake} is Python {wrong}; {EXPECTED}"
    assert clone.sentence() == f"No Python on the PATH can be used: {found}; {remedy}, or name one by PYTHON=<path>"
    assert clone.sentence(PYTHON="python3") == (
        f"PYTHON is python3: {found}; name another, leave PYTHON out, or {remedy}"
    )
    assert not (clone.folder / ".venv").exists()


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("python3.99", "there is no such program on the PATH"),
        ("/nowhere/python3", "there is no such file"),
        ("~/tools", "it is a folder"),
        ("shim", "{bin}/shim does not run as Python does (shim: command not found)"),
        ("uname", "{bin}/tools/uname does not run as Python does"),
    ],
)
def test_what_is_no_python_gets_one_sentence(clone: Clone, named: str, found: str) -> None:
    clone.program("shim", "echo 'shim: command not found' >&2; exit 127")
    said = clone.sentence(PYTHON=named)
    assert re.sub(r" \(.*uname: .*\)", "", said) == (
        f"PYTHON is {named}: {found.format(bin=clone.bin)}; {EXPECTED}; name another, leave PYTHON out, or {INSTALL}"
    )


def test_without_any_python_there_is_one_sentence(clone: Clone) -> None:
    (clone.bin / f"python{VERSION}").unlink()
    found = f"No Python on the PATH can be used: there is no such program on the PATH; {EXPECTED}; {INSTALL}"
    assert clone.sentence() == f"{found}, or name one by PYTHON=<path>"


@pytest.mark.parametrize("named", ["", f"python{VERSION}", "~/a python", "../bin/a python"])
def test_python_may_be_a_name_a_path_from_home_or_have_blanks(clone: Clone, named: str) -> None:
    (clone.bin / "a python").symlink_to(PYTHON)
    line = clone.python_line(PYTHON=named)
    assert line.startswith(f"ok    python     {RELEASE} ")
    assert line.endswith(", which will make .venv")


@pytest.mark.parametrize(
    ("machine", "translated", "remedy"),
    [
        ("Darwin x86_64", "0", "run it in a container or on a machine with Linux"),
        ("Darwin x86_64", "1", "use a terminal and a make that do not run through Rosetta"),
        ("MINGW64_NT-10.0 x86_64", "", "use the Windows Subsystem for Linux"),
        ("Linux i686", "", "use such a machine"),
        ("FreeBSD amd64", "", "use such a machine"),
    ],
)
def test_a_machine_without_packages_of_tensorflow_gets_one_sentence(
    clone: Clone, machine: str, translated: str, remedy: str
) -> None:
    clone.program("uname", f"echo {machine}")
    clone.program("sysctl", f"echo {translated}")
    sentence = (
        f"This machine is {machine}, for which there are no packages of TensorFlow; "
        f"expected Linux with glibc on x86-64 or arm64, or macOS on Apple silicon; {remedy}"
    )
    assert clone.sentence() == sentence
    assert clone.python_line() == f"FAIL  python     {sentence}"


def test_linux_on_arm64_needs_a_compiler(clone: Clone) -> None:
    clone.program("uname", "echo Linux aarch64")
    assert clone.sentence() == (
        "There is no C compiler, and psutil has to be compiled on Linux on arm64; expected gcc or cc on the PATH; "
        f"apt install gcc libc6-dev python{VERSION}-dev"
    )
    clone.program("gcc", "exit 1")
    assert clone.python_line() == f"ok    python     {RELEASE} {clone.bin}/python{VERSION}, which will make .venv"


def test_the_environment_is_made_kept_and_extended(clone: Clone) -> None:
    made = clone.environment("run")
    assert made.stdout.startswith(f"making .venv with Python {RELEASE} ({clone.bin}/python{VERSION}): ")
    assert (made.returncode, clone.installed()) == (0, {"tiny_run.py"})
    kept = clone.environment("run")
    assert (kept.returncode, kept.stdout, kept.stderr) == (0, "", "")
    extended = clone.environment("bench")
    assert extended.stdout.startswith("adding to .venv what 'bench' needs\n")
    assert clone.installed() == {"tiny_run.py", "tiny_dev.py", "tiny_bench.py"}
    for name in ("run", "dev", "bench"):
        assert clone.environment(name).stdout == ""


CHANGES = {
    "half made": lambda clone: (clone.folder / ".venv/made-from").unlink(),
    "stamp cut short": lambda clone: (clone.folder / ".venv/made-from").write_text("folder"),
    "moved": lambda clone: change_stamp(clone, "folder .*", "folder /elsewhere"),
    "another machine": lambda clone: change_stamp(clone, "machine .*", "machine Darwin arm64"),
    "Python upgraded": lambda clone: change_stamp(clone, r"python 3\.\d+", "python 3.10"),
    "Python gone": lambda clone: (clone.folder / ".venv/bin/python").unlink(),
    "no environment": lambda clone: (clone.folder / ".venv/pyvenv.cfg").unlink(),
    "a package removed": lambda clone: next(clone.folder.glob(".venv/lib/*/site-packages/tiny_run.py")).unlink(),
    "other requirements": lambda clone: (clone.folder / "requirements/run.txt").write_text("# changed\n"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_an_environment_made_otherwise_is_made_anew(made: Clone, change: str) -> None:
    assert made.python_line() == f"ok    python     {VERSION} {PYTHON.resolve()}, in .venv"
    CHANGES[change](made)
    assert made.python_line() == f"ok    python     {RELEASE} {made.bin}/python{VERSION}, which will make .venv"


def test_a_sound_environment_is_kept_unless_python_names_another(made: Clone) -> None:
    made.pretending_python("python3", 'sys.version_info = (3, 13, 9, "final", 0)')
    (made.bin / "other name").symlink_to(PYTHON)
    change_stamp(made, r"\npython .*", f"\npython {VERSION} {PYTHON.resolve()}")
    kept = f"ok    python     {VERSION} {PYTHON.resolve()}, in .venv"
    assert made.python_line() == made.python_line(PYTHON="other name") == kept
    change_stamp(made, r"\npython .*", f"\npython {VERSION} /opt/other/python")
    assert made.python_line() == f"ok    python     {VERSION} /opt/other/python, in .venv"
    assert made.python_line(PYTHON="other name").endswith(f"{made.bin}/other name, which will make .venv")


def test_a_killed_make_leaves_nothing_that_is_reused(made: Clone) -> None:
    command = ["sh", "environment.sh", "dev"]
    begun = subprocess.Popen(
        command, cwd=made.folder, env=made.variables(), stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert any("Processing" in line for line in begun.stdout or ())
    os.killpg(begun.pid, signal.SIGKILL)
    begun.communicate()
    assert not (made.folder / ".venv/made-from").exists()
    left = made.folder / ".venv/left"
    left.touch()
    assert made.environment("dev").returncode == 0
    assert (made.installed(), left.exists()) == ({"tiny_run.py", "tiny_dev.py"}, False)


def test_two_makes_at_once_make_one_environment(made: Clone) -> None:
    (made.folder / ".venv/made-from").unlink()
    command = ["sh", "environment.sh", "run"]
    both = [
        subprocess.Popen(command, cwd=made.folder, env=made.variables(), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum(words.count("making .venv") for words in said) == 1
    assert made.installed() == {"tiny_run.py"}


@pytest.mark.parametrize("kind", ["a file", "a link to elsewhere, and making the environment empties the folder"])
def test_a_venv_that_is_no_folder_gets_one_sentence(clone: Clone, kind: str) -> None:
    venv = clone.folder / ".venv"
    venv.touch() if kind == "a file" else venv.symlink_to(clone.wheels)
    expected = "expected a folder, or nothing" if kind == "a file" else "expected a folder"
    assert clone.sentence() == f"{venv} is {kind}; {expected}; move it away"
    assert len(list(clone.wheels.iterdir())) == 4


def test_too_small_a_disk_is_told_before_pip_fills_it(clone: Clone) -> None:
    clone.program("df", "echo; echo disk 9999999 0 204800")
    ended = clone.environment("run")
    assert (ended.returncode, ended.stderr) == (
        1,
        f"{clone.folder} has 200 MB free; expected 2400 MB for .venv; make room, or clone to a larger disk\n",
    )


def test_what_pip_cannot_install_ends_with_one_sentence_and_no_stamp(made: Clone) -> None:
    next(made.wheels.glob("tiny_dev*")).unlink()
    ended = made.environment("dev")
    assert ended.returncode == 1
    assert ended.stderr.endswith(
        "pip could not install what .venv needs, and said why above; put that right and run make again\n"
    )
    assert not (made.folder / ".venv/made-from").exists()


ELSEWHERE = {
    **{"user": "1", "target": "target", "prefix": "prefix", "root": "root", "python": str(PYTHON)},
    **{"require-virtualenv": "1", "dry-run": "1", "constraint": "nowhere.txt", "requirement": "nowhere.txt"},
    **{"no-binary": ":all:", "no-deps": "0", "require-hashes": "0"},
}


def test_no_variable_changes_where_pip_installs(made: Clone) -> None:
    also = {"PIP_EDITABLE": "x", "PIP_PLATFORM": "x", "PIP_PYTHON_VERSION": "3.9", "PIP_ABI": "x", "PIP_GROUP": "x"}
    python = {"PYTHONPATH": "x", "PYTHONHOME": "x", "PYTHONUSERBASE": "x", "PYTHONSAFEPATH": "1", "PYTHONOPTIMIZE": "2"}
    variables = {"PIP_" + name.upper().replace("-", "_"): value for name, value in ELSEWHERE.items()}
    before = set(made.folder.iterdir())
    (made.folder / ".venv/made-from").unlink()
    ended = made.environment("run", **variables, **also, **python, PYTHONWARNINGS="error")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (made.installed(), set(made.folder.iterdir())) == ({"tiny_run.py"}, before)


@pytest.mark.parametrize("section", ["global", "install"])
def test_no_pip_conf_changes_where_pip_installs_but_its_links_count(made: Clone, section: str) -> None:
    config = made.folder / "pip.conf"
    lines = [f"{name} = {value}" for name, value in ELSEWHERE.items()]
    config.write_text("\n".join([f"[{section}]", *lines, "[global]" * (section == "install")]))
    with config.open("a") as file:
        file.write(f"\nno-index = true\nfind-links = {made.wheels}\n")
    before = set(made.folder.iterdir())
    ended = made.environment("dev", PIP_CONFIG_FILE=str(config), PIP_NO_INDEX="", PIP_FIND_LINKS="")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (made.installed(), set(made.folder.iterdir())) == ({"tiny_run.py", "tiny_dev.py"}, before)


PROGRAM = '''"""Say what a program of ours finds."""
import os, sys, beside
assert __doc__
print(beside.__file__, sorted(name for name in os.environ if name.startswith("PYTHON")), "…", sys.argv[1:3])
'''


def test_make_runs_our_programs_without_another_projects_python_variables(made: Clone) -> None:
    (made.folder / "src/local_pipeline.py").write_text(PROGRAM)
    (made.folder / "src/beside.py").touch()
    named = ("PATH", "HOME", "SAFEPATH", "OPTIMIZE", "WARNINGS", "INSPECT", "USERBASE", "PLATLIBDIR", "IOENCODING")
    ended = made.run("make", "run", "DATA=a b", **{f"PYTHON{name}": "2" for name in named}, LC_ALL="C")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout == f"{made.folder}/src/beside.py ['PYTHONUTF8'] … ['--volume', 'a b']\n"


@pytest.mark.parametrize("given", ["variable", "command line"])
def test_make_tells_the_environment_script_python_alone(made: Clone, given: str) -> None:
    if given == "variable":
        ended = made.run("make", "run", PYTHON="python3.99")
    else:
        ended = made.run("make", "run", "PYTHON=python3.99")
    assert ended.stderr.startswith("PYTHON is python3.99: there is no such program on the PATH; ")
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 2)


def test_make_doctor_passes_on_what_make_run_would_be_given(clone: Clone) -> None:
    ended = clone.run("make", "doctor", "DATA=a b", "SOURCE=c", "WORKERS=3", "HTTP_PORT=1", "GRPC_PORT=2")
    options = ["--volume", "a b", "--source", "c", "--workers", "3", "--http-port", "1", "--grpc-port", "2"]
    assert ended.stdout.splitlines()[1:] == [str(options)]
    (clone.folder / "src/doctor.py").write_text("raise SystemExit(3)")
    assert clone.run("make", "doctor").returncode == 2


MAKEFILE_VARIABLES = set(re.findall(r"^(\w+) [:?]?=", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_no_variable_but_python_counts_from_the_environment() -> None:
    assert {"DATA", "WORKERS", "EPOCHS", "BATCH_PER_WORKER", "MODELS", "SOURCE", "FRESH", "FLOOR", "TOLERANCE"} <= (
        MAKEFILE_VARIABLES
    )
    used = set(re.findall(r"\$\(([A-Z]\w+)\)", (ROOT / "Makefile").read_text()))
    assert used - MAKEFILE_VARIABLES == {"MAKE", "MAKEFILE_LIST"}
    targets = "help doctor run serve test lint format bench clean cluster image install train workflow clean-cluster"
    command = ["make", "-n", *targets.split()]
    printed = [
        subprocess.run(command, cwd=ROOT, env={"PATH": os.environ["PATH"], **more}, capture_output=True, check=True)
        for more in ({}, dict.fromkeys(MAKEFILE_VARIABLES, "7"))
    ]
    assert printed[0].stdout == printed[1].stdout
