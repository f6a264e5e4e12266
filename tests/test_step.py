"""How a script ends, whatever it does."""

import subprocess
import sys

import pytest
from conftest import SOURCE

import arguments


def script(body: str) -> subprocess.Popen:
    """A process whose step is `body`."""
    head = "import sys, time; sys.path.insert(0, sys.argv[1]); import step"
    code = f"{head}\ndef main(args):\n    {body}\nstep.run(main, None)"
    return subprocess.Popen([sys.executable, "-c", code, SOURCE], stdin=-1, stdout=-1, stderr=-1, text=True)


def test_sigterm_ends_a_step_with_status_143_and_its_clean_up_done():
    step = script("try: print('up', flush=True); time.sleep(60)\n    finally: print('cleaned up')")
    assert step.stdout.readline() == "up\n"
    step.terminate()
    output, error = step.communicate(timeout=20)
    assert (step.returncode, output, error) == (143, "cleaned up\n", "-c: ended by SIGTERM\n")


@pytest.mark.parametrize("body", ["while True: print('line', flush=True)", "print('line')"])
def test_a_step_whose_reader_has_gone_ends_as_any_writer_to_a_pipe(body):
    step = script(f"sys.stdin.readline()\n    {body}")
    step.stdout.close()
    assert step.communicate("go\n", timeout=20) == ("", "")
    assert step.returncode == 141


@pytest.mark.parametrize(
    ("raised", "status", "line"),
    [
        ("step.StepError('wrong; do that')", 2, "wrong; do that"),
        ("step.Refused('not good enough')", 3, "not good enough"),
        ("OSError(28, 'No space left on device')", 1, "cannot use the volume: No space left on device; check that"),
    ],
)
def test_a_failure_is_one_line_and_a_status(raised, status, line):
    step = script(f"raise {raised}")
    output, error = step.communicate(timeout=20)
    assert (step.returncode, output, error.count("\n")) == (status, "", 1)
    assert error.startswith(f"-c: {line}")


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
def test_a_bad_argument_is_one_line_that_says_what_was_expected(kind, text, expected, capsys):
    parser = arguments.Parser("")
    parser.add_argument("--value", type=getattr(arguments, kind))
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--value", text])
    error = capsys.readouterr().err
    assert (ended.value.code, error.count("\n")) == (2, 1)
    assert error.endswith(f"argument --value: '{text}' {expected}; see --help\n")
