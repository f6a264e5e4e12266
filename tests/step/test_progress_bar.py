"""The progress that a step prints, on a terminal and off one."""

import os
import pty
import re
import subprocess
import sys

from support.project import SOURCE

HEAD = (
    "import sys, time; sys.path.insert(0, sys.argv[1]); from distml.step import progress_bar\n"
    "from distml.step.progress_bar import *\n"
)
QUICK = "progress_bar.SECONDS_OF_SILENCE = 0.3; progress_bar.SECONDS_BETWEEN_LOOKS = 0.1\n"


def off_a_terminal(body: str) -> list[str]:
    """Return the lines that a process executing `body` writes to stdout and stderr."""
    command = [sys.executable, "-u", "-c", HEAD + QUICK + body, str(SOURCE)]
    ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
    return ended.stdout.splitlines()


def on_a_terminal(body: str) -> str:
    """Return all that a process executing `body` writes to its terminal."""
    terminal, end = pty.openpty()
    command = [sys.executable, "-u", "-c", HEAD + body, str(SOURCE)]
    process = subprocess.Popen(command, stdout=end, stderr=end, env={**os.environ, "COLUMNS": "100"})
    os.close(end)
    written = b""
    try:
        while block := os.read(terminal, 4096):
            written += block
    except OSError:  # Linux raises it once the other end is closed
        pass
    os.close(terminal)
    assert process.wait() == 0
    return written.decode()


def shown(written: str) -> list[str]:
    """Return the lines that stay on the terminal: the text of each after its last clear or carriage return."""
    return [re.split(r"\r|\x1b\[K", line.rstrip("\r"))[-1].rstrip() for line in written.split("\n")]


def test_a_silent_process_off_a_terminal_prints_signs_of_life() -> None:
    lines = off_a_terminal("with working('waiting for worker 1'): time.sleep(1)")
    assert set(lines) == {"waiting for worker 1 …"} and 1 <= len(lines) <= 3


def test_a_process_that_prints_off_a_terminal_adds_no_sign_of_life() -> None:
    lines = off_a_terminal("with working('busy'):\n    for number in range(20): say(number); time.sleep(0.05)")
    assert lines == [str(number) for number in range(20)]


def test_a_sign_of_life_shows_the_worker_the_count_and_the_rate() -> None:
    lines = off_a_terminal(
        "configure('worker 1', draw=False)\n"
        "with counting('plain: epoch 2/4', 429, 'steps') as bar: bar.advance(150, '5,012 images/s'); time.sleep(0.7)"
    )
    assert set(lines) == {"worker 1: plain: epoch 2/4, 150 of 429 steps, 5,012 images/s …"}


def test_a_progress_bar_on_a_terminal_disappears_at_the_end() -> None:
    written = on_a_terminal(
        "with counting('plain: epoch 2/4', 429, 'steps') as bar:\n"
        "    for _ in range(3): bar.advance(143, '5,012 images/s'); time.sleep(0.2)\n"
        "say('plain: epoch 2/4 done')"
    )
    assert re.search(r"plain: epoch 2/4  67%\|█+.*\| 286/429 steps, \d\d:\d\d left, 5,012 images/s", written)
    assert shown(written) == ["plain: epoch 2/4 done", ""]


def test_a_line_on_a_terminal_appears_above_the_bar() -> None:
    written = on_a_terminal("with counting('epoch', 9, 'steps') as bar: bar.advance(1); say('a line'); bar.advance(8)")
    assert shown(written) == ["a line", ""]


def test_a_line_of_another_process_does_not_mix_with_a_bar() -> None:
    other = (
        "import sys; sys.path.insert(0, sys.argv[1]); from distml.step.progress_bar import say; say('from the other')"
    )
    written = on_a_terminal(
        "import subprocess\n"
        "with counting('epoch', 9, 'steps') as bar:\n"
        f"    bar.advance(1); subprocess.run([sys.executable, '-c', {other!r}, sys.argv[1]], check=True)"
    )
    assert shown(written) == ["from the other", ""]


def test_a_process_that_may_not_draw_shows_no_bar() -> None:
    written = on_a_terminal("configure('worker 1', draw=False)\nwith working('epoch'): time.sleep(0.3)")
    assert written == ""


def test_lines_of_two_unbuffered_processes_never_mix() -> None:
    body = "for _ in range(2000): say('a line of a worker')"
    command = [sys.executable, "-u", "-c", HEAD + body, str(SOURCE)]
    read, write = os.pipe()
    both = [subprocess.Popen(command, stdout=write) for _ in range(2)]
    os.close(write)
    with os.fdopen(read) as pipe:
        lines = pipe.read().splitlines()
    assert [process.wait() for process in both] == [0, 0]
    assert lines == ["a line of a worker"] * 4000
