"""The end of a script: its exit status and its line on stderr."""

import errno
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from distml.step import command_line
from distml.step import outcome as step
from support.project import SOURCE


def script(body: str) -> subprocess.Popen:
    """Start a process whose step is `body`."""
    head = "import sys, time; sys.path.insert(0, sys.argv[1]); from distml.step import outcome as step"
    code = f"{head}\ndef main(args):\n    {body}\nstep.run(main, None)"
    return subprocess.Popen([sys.executable, "-c", code, SOURCE], stdin=-1, stdout=-1, stderr=-1, text=True)


def test_sigterm_ends_a_step_with_status_143_after_its_clean_up() -> None:
    step = script("try: print('up', flush=True); time.sleep(60)\n    finally: print('cleaned up')")
    assert step.stdout and step.stdout.readline() == "up\n"
    step.terminate()
    output, error = step.communicate(timeout=20)
    assert (step.returncode, output, error) == (143, "cleaned up\n", "-c: ended by SIGTERM\n")


@pytest.mark.parametrize("body", ["while True: print('line', flush=True)", "print('line')"])
def test_a_step_ends_silently_when_the_reader_of_its_pipe_exits(body: str) -> None:
    step = script(f"sys.stdin.readline()\n    {body}")
    assert step.stdout
    step.stdout.close()
    assert step.communicate("go\n", timeout=20) == ("", "")
    assert step.returncode == 141


@pytest.mark.parametrize(
    ("raised", "status", "line"),
    [
        ("step.StepError('wrong; do that')", 2, "wrong; do that"),
        ("step.Refused('not good enough')", 3, "not good enough"),
        ("OSError(28, 'No space left on device', '/v')", 1, "cannot use /v: No space left on device; make space"),
    ],
)
def test_a_failed_step_ends_with_one_line_and_its_exit_status(raised: str, status: int, line: str) -> None:
    step = script(f"raise {raised}")
    output, error = step.communicate(timeout=20)
    assert (step.returncode, output, error.count("\n")) == (status, "", 1)
    assert error.startswith(f"-c: {line}")


WRITE = "; let this user write there, or choose another place"
SPACE = "; make space on that disk (pipeline_admin.py remove-runs removes old runs from a volume)"
NO_FOLDER = "; a file is where a folder is expected"


@pytest.mark.parametrize(
    ("error", "line", "status"),
    [
        (OSError(errno.ENOSPC, "Full", "/v/a"), f"cannot use /v/a: Full{SPACE}", 1),
        (OSError(errno.EDQUOT, "Quota"), f"the system refused an operation: Quota{SPACE}", 1),
        (OSError(errno.EROFS, "Read-only", "/v/a"), f"cannot use /v/a: Read-only{WRITE}", 1),
        (OSError(errno.EACCES, "Denied", b"/v/a"), f"cannot use /v/a: Denied{WRITE}", 1),
        (OSError(errno.EACCES, "Denied"), "the system refused an operation: Denied", 1),
        (OSError(errno.EIO, "I/O error", "/v/a", None, "/v/b"), "cannot use /v/a -> /v/b: I/O error", 1),
        (OSError(errno.ESTALE, "Stale", "/v/a"), "cannot use /v/a: Stale", 1),
        (OSError(errno.EMFILE, "Too many", "/v/a"), "cannot use /v/a: Too many", 1),
        (OSError(errno.ENOTDIR, "No folder", "/v/a"), f"cannot use /v/a: No folder{NO_FOLDER}", 2),
        (OSError(errno.EISDIR, "Folder", "/v/a"), "cannot use /v/a: Folder; a folder is where a file is expected", 2),
        (OSError(errno.ENAMETOOLONG, "Long", "/v/a"), "cannot use /v/a: Long; give it a shorter name", 2),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Refused"), "the system refused an operation: Refused", 1),
        (socket.gaierror(-2, "Unknown name"), "the system refused an operation: Unknown name", 1),
        (OSError("two\nlines"), "the system refused an operation: two", 1),
        (TimeoutError(), "the system refused an operation: TimeoutError", 1),
    ],
)
def test_a_system_error_reports_what_failed_and_where(error: Any, line: str, status: int) -> None:
    assert step.describe_os_error(error) == (line, status)


@pytest.mark.parametrize("volume", ["file", "file/below"])
def test_a_volume_that_is_a_file_is_refused_in_one_line(tmp_path: Path, volume: str) -> None:
    (tmp_path / "file").touch()
    imports = "from distml.step import command_line; from distml.step.volume import hold_lock"
    step = script(f"{imports}; hold_lock(command_line.volume({str(tmp_path / volume)!r})).__enter__()")
    output, error = step.communicate(timeout=20)
    assert (step.returncode, output, error.count("\n")) == (2, "", 1)
    assert error.startswith(f"-c: cannot use {tmp_path / volume}: ")
    assert error.endswith("; a file is where a folder is expected\n")


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("positive", "0", "is not an integer of 1 or more"),
        ("positive", "many", "is not an integer of 1 or more"),
        ("port", "65536", "is not an integer from 1 to 65535"),
        ("fraction", "1.5", "is not a number from 0 to 1"),
        ("positive_number", "nan", "is not a number above 0"),
    ],
)
def test_a_bad_argument_is_refused_in_one_line_with_its_valid_range(
    kind: str, text: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = command_line.Parser("")
    parser.add_argument("--value", type=getattr(command_line, kind))
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--value", text])
    error = capsys.readouterr().err
    assert (ended.value.code, error.count("\n")) == (2, 1)
    assert error.endswith(f"argument --value: '{text}' {expected}; see --help\n")
