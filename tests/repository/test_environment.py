"""The environment `.venv`: when environment.sh makes, keeps, extends or refuses it."""

import os
import signal
import subprocess

import pytest

from support.clone import PYTHON, RELEASE, VERSION, Clone


def test_the_environment_is_made_kept_and_extended(clone: Clone) -> None:
    made = clone.environment("run")
    assert made.stdout.startswith(f"making .venv with Python {RELEASE} ({clone.bin}/python{VERSION}): ")
    assert (made.returncode, clone.installed()) == (0, {"tiny_run.py"})
    kept = clone.environment("run")
    assert (kept.returncode, kept.stdout, kept.stderr) == (0, "", "")
    extended = clone.environment("bench")
    assert extended.stdout.startswith("adding the packages of 'bench' to .venv\n")
    assert clone.installed() == {"tiny_run.py", "tiny_dev.py", "tiny_bench.py"}
    for name in ("run", "dev", "bench"):
        assert clone.environment(name).stdout == ""


CHANGES = {
    "half made": lambda clone: (clone.folder / ".venv/made-from").unlink(),
    "stamp cut short": lambda clone: (clone.folder / ".venv/made-from").write_text("folder"),
    "moved": lambda clone: clone.change_stamp("folder .*", "folder /elsewhere"),
    "another machine": lambda clone: clone.change_stamp("machine .*", "machine Darwin arm64"),
    "Python upgraded": lambda clone: clone.change_stamp(r"python 3\.\d+", "python 3.10"),
    "Python removed": lambda clone: (clone.folder / ".venv/bin/python").unlink(),
    "not an environment": lambda clone: (clone.folder / ".venv/pyvenv.cfg").unlink(),
    "a package removed": lambda clone: next(clone.folder.glob(".venv/lib/*/site-packages/tiny_run.py")).unlink(),
    "other requirements": lambda clone: (clone.folder / "requirements/run.txt").write_text("# changed\n"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_damaged_or_outdated_environment_is_made_again(ready_clone: Clone, change: str) -> None:
    assert ready_clone.python_line() == f"ok    python     {VERSION} {PYTHON.resolve()}, in .venv"
    CHANGES[change](ready_clone)
    chosen = f"{RELEASE} {ready_clone.bin}/python{VERSION}"
    assert ready_clone.python_line() == f"ok    python     {chosen}, which will make .venv"


def test_an_environment_is_kept_unless_another_python_is_requested(ready_clone: Clone) -> None:
    ready_clone.fake_python("python3", 'sys.version_info = (3, 13, 9, "final", 0)')
    (ready_clone.bin / "other name").symlink_to(PYTHON)
    ready_clone.change_stamp(r"\npython .*", f"\npython {VERSION} {PYTHON.resolve()}")
    kept = f"ok    python     {VERSION} {PYTHON.resolve()}, in .venv"
    assert ready_clone.python_line() == ready_clone.python_line(PYTHON="other name") == kept
    ready_clone.change_stamp(r"\npython .*", f"\npython {VERSION} /opt/other/python")
    assert ready_clone.python_line() == f"ok    python     {VERSION} /opt/other/python, in .venv"
    line = ready_clone.python_line(PYTHON="other name")
    assert line.endswith(f"{ready_clone.bin}/other name, which will make .venv")


def start(clone: Clone, package_set: str) -> subprocess.Popen[str]:
    command, variables = ["sh", "environment.sh", package_set], clone.variables()
    return subprocess.Popen(
        command, cwd=clone.folder, env=variables, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def test_the_leftovers_of_a_killed_make_are_not_reused(ready_clone: Clone) -> None:
    killed = start(ready_clone, "dev")
    assert any("Processing" in line for line in killed.stdout or ())
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert not (ready_clone.folder / ".venv/made-from").exists()
    leftover = ready_clone.folder / ".venv/leftover"
    leftover.touch()
    assert ready_clone.environment("dev").returncode == 0
    assert (ready_clone.installed(), leftover.exists()) == ({"tiny_run.py", "tiny_dev.py"}, False)


def test_two_makes_at_once_make_one_environment(clone: Clone) -> None:
    both = [start(clone, "run") for _ in range(2)]
    outputs = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum(output.count("making .venv") for output in outputs) == 1
    assert clone.installed() == {"tiny_run.py"}


@pytest.mark.parametrize("kind", ["a file", "a link, and making the environment would empty its target"])
def test_a_venv_that_is_not_a_folder_is_refused_in_one_line(clone: Clone, kind: str) -> None:
    venv = clone.folder / ".venv"
    venv.touch() if kind == "a file" else venv.symlink_to(clone.wheels)
    expected = "expected a folder or nothing" if kind == "a file" else "expected a folder"
    assert clone.refusal() == f"{venv} is {kind}; {expected}; move it away"
    assert len(list(clone.wheels.iterdir())) == 4


def test_a_disk_that_is_too_small_is_reported_before_pip_fills_it(clone: Clone) -> None:
    clone.program("df", "echo; echo disk 9999999 0 204800")
    ended = clone.environment("run")
    assert (ended.returncode, ended.stderr) == (
        1,
        f"{clone.folder} has 200 MB free; expected 2400 MB for .venv; make room, or clone to a larger disk\n",
    )
