"""The Python that environment.sh chooses for `.venv`, and the message if no Python can be used."""

import re

import pytest

from support.clone import PYTHON, RELEASE, VERSION, Clone

EXPECTED = "expected CPython 3.11, 3.12 or 3.13 with its modules venv and ensurepip"
INSTALL = "install one (apt install python3.12-venv or brew install python@3.13)"
GLIBC = "use a system with glibc 2.28 or later, such as Debian, or a Debian container"


def test_the_newest_usable_python_is_chosen(clone: Clone) -> None:
    clone.program("python3.13", "echo 'pyenv: python3.13: command not found' >&2; exit 127")
    (clone.bin / "python3.12").unlink(missing_ok=True)
    for name, minor in {"python3.11": 11, "python3": 12, "python": 14, "python3.10": 13}.items():
        (clone.bin / name).unlink(missing_ok=True)
        clone.fake_python(name, f'sys.version_info = (3, {minor}, 9, "final", 0)')
    assert clone.python_line() == f"ok    python     3.12.9 {PYTHON}, which will make .venv"


def test_a_broken_wrapper_does_not_hide_a_python_later_on_the_path(clone: Clone) -> None:
    (clone.bin / "tools" / f"python{VERSION}").symlink_to(PYTHON)
    clone.program(f"python{VERSION}", "exit 127")
    for variables in ({}, {"PYTHON": f"python{VERSION}"}):
        line = clone.python_line(**variables)
        assert line == f"ok    python     {RELEASE} {clone.bin}/tools/python{VERSION}, which will make .venv"


@pytest.mark.parametrize(
    ("statements", "wrong", "remedy"),
    [
        ('sys.version_info = (3, 9, 2, "final", 0)', "3.9.2, too old", INSTALL),
        ('sys.version_info = (2, 7, 18, "final", 0)', "2.7.18, too old", INSTALL),
        ('sys.version_info = (3, 14, 0, "final", 0)', "3.14.0, too new", INSTALL),
        ('sys.implementation.name = "pypy"', f"{RELEASE}, pypy instead of CPython", INSTALL),
        ("import struct; struct.calcsize = lambda _: 4", f"{RELEASE}, a 32-bit build", INSTALL),
        (
            'sys.modules["ensurepip"] = None',
            f"{RELEASE}, without its module ensurepip",
            f"run apt install python{VERSION}-venv (Debian, Ubuntu)",
        ),
        (
            'sys.modules["ssl"] = None',
            f"{RELEASE}, without its module ssl",
            "rebuild it with the headers of that library",
        ),
        (
            'import os; sys.platform = "linux"; os.confstr = lambda _: None',
            f"{RELEASE}, on a system without glibc",
            GLIBC,
        ),
        (
            'import os; sys.platform = "linux"; os.confstr = lambda _: "glibc 2.17"',
            f"{RELEASE}, on glibc 2.17, older than 2.28",
            GLIBC,
        ),
    ],
    ids=["3.9", "2.7", "3.14", "PyPy", "32 bits", "no ensurepip", "no ssl", "no glibc", "old glibc"],
)
def test_an_unsuitable_python_is_refused_in_one_line(clone: Clone, statements: str, wrong: str, remedy: str) -> None:
    (clone.bin / f"python{VERSION}").unlink()
    fake = clone.fake_python("python3", statements)
    found = f"{fake} is Python {wrong}; {EXPECTED}"
    assert clone.refusal() == f"No Python on the PATH can be used: {found}; {remedy}, or name one with PYTHON=<path>"
    assert clone.refusal(PYTHON="python3") == (
        f"PYTHON is python3: {found}; name another, leave PYTHON out, or {remedy}"
    )
    assert not (clone.folder / ".venv").exists()


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("python3.99", "there is no such program on the PATH"),
        ("/nowhere/python3", "there is no such file"),
        ("~/tools", "it is a folder"),
        ("shim", "{bin}/shim is not a working Python (shim: command not found)"),
        ("uname", "{bin}/tools/uname is not a working Python"),
    ],
)
def test_a_wrong_value_of_the_variable_python_is_refused_in_one_line(clone: Clone, named: str, found: str) -> None:
    clone.program("shim", "echo 'shim: command not found' >&2; exit 127")
    refusal = re.sub(r" \([^)]*uname: [^)]*\)", "", clone.refusal(PYTHON=named))
    assert refusal == (
        f"PYTHON is {named}: {found.format(bin=clone.bin)}; {EXPECTED}; name another, leave PYTHON out, or {INSTALL}"
    )


def test_a_machine_without_python_is_refused_in_one_line(clone: Clone) -> None:
    (clone.bin / f"python{VERSION}").unlink()
    found = f"No Python on the PATH can be used: there is no such program on the PATH; {EXPECTED}; {INSTALL}"
    assert clone.refusal() == f"{found}, or name one with PYTHON=<path>"


@pytest.mark.parametrize("named", ["", f"python{VERSION}", "~/a python", "../bin/a python"])
def test_the_variable_python_accepts_a_name_or_a_path(clone: Clone, named: str) -> None:
    (clone.bin / "a python").symlink_to(PYTHON)
    line = clone.python_line(PYTHON=named)
    assert line.startswith(f"ok    python     {RELEASE} ")
    assert line.endswith(", which will make .venv")


@pytest.mark.parametrize(
    ("machine", "translated", "remedy"),
    [
        ("Darwin x86_64", "0", "use a container or a machine with Linux"),
        ("Darwin x86_64", "1", "use a terminal and a make that do not run under Rosetta"),
        ("MINGW64_NT-10.0 x86_64", "", "use the Windows Subsystem for Linux"),
        ("Linux i686", "", "use one of those"),
        ("FreeBSD amd64", "", "use one of those"),
    ],
)
def test_a_machine_without_tensorflow_packages_is_refused_in_one_line(
    clone: Clone, machine: str, translated: str, remedy: str
) -> None:
    clone.program("uname", f"echo {machine}")
    clone.program("sysctl", f"echo {translated}")
    refusal = (
        f"This machine is {machine}, for which TensorFlow has no packages; "
        f"expected Linux with glibc on x86-64 or arm64, or macOS on Apple silicon; {remedy}"
    )
    assert clone.refusal() == refusal
    assert clone.python_line() == f"FAIL  python     {refusal}"


def test_linux_on_arm64_needs_a_compiler(clone: Clone) -> None:
    clone.program("uname", "echo Linux aarch64")
    assert clone.refusal() == (
        "There is no C compiler, which psutil needs on Linux on arm64; expected gcc or cc on the PATH; "
        f"run apt install gcc libc6-dev python{VERSION}-dev"
    )
    clone.program("gcc", "exit 1")
    assert clone.python_line() == f"ok    python     {RELEASE} {clone.bin}/python{VERSION}, which will make .venv"
