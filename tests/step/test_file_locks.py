"""Files in use, whatever the clock says, and turns."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from distml.step import atomic_files, file_locks
from distml.step.volume import InUse, Volume, turn_in
from support.project import SOURCE
from support.refusals import refuse

# A process that fills a folder beside its first argument until it is killed.
FILLING = (
    "import pathlib, sys, time; from distml.step import atomic_files\n"
    "with atomic_files.folder_beside(pathlib.Path(sys.argv[1])) as work:\n"
    "    print(work, flush=True); time.sleep(60)"
)


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path)


def jump(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + days * 86_400)


def test_only_what_a_living_process_fills_stays_after_a_jump_of_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    target = tmp_path / "report"
    command = [sys.executable, "-c", FILLING, str(target)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout
    work = Path(process.stdout.readline().strip())
    jump(monkeypatch, days=400)
    atomic_files.remove_abandoned(target)
    assert work.is_dir()
    process.send_signal(signal.SIGKILL)
    process.wait()
    atomic_files.remove_abandoned(target)
    assert not work.exists()


def test_a_file_that_is_being_written_stays_after_a_jump_of_the_clock(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    with atomic_files.json_beside(volume.report, {}) as work:
        jump(monkeypatch, days=400)
        atomic_files.remove_abandoned(volume.report)
        assert work.exists()


def test_what_was_removed_before_its_lock_is_created_again(tmp_path: Path) -> None:
    work, made = tmp_path / "work", []

    def create() -> None:
        work.mkdir()
        made.append(work)
        if len(made) == 1:  # as by a process whose clock has jumped
            with file_locks.if_unused(work) as unused:
                assert unused
                work.rmdir()

    with file_locks.created(work, create):
        assert len(made) == 2 and work.is_dir()
        with file_locks.if_unused(work) as unused:
            assert not unused


def test_one_process_after_another_has_its_turn(tmp_path: Path) -> None:
    order = []

    def take(name: str) -> None:
        with turn_in(tmp_path, 10):
            order.append(name)
            time.sleep(0.3)
            order.append(name)

    threads = [threading.Thread(target=take, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order in (["a", "a", "b", "b"], ["b", "b", "a", "a"])


def test_a_turn_that_does_not_end_is_an_error_that_a_retry_may_resolve(tmp_path: Path) -> None:
    with turn_in(tmp_path, 1), pytest.raises(InUse, match="wait until it ends") as busy:
        turn_in(tmp_path, 0).__enter__()
    assert busy.value.exit_status == 1


def test_a_volume_without_locks_lets_every_process_have_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse(monkeypatch, errno.ENOLCK, (fcntl, "flock"))
    work = tmp_path / "work"
    in_turn = turn_in(tmp_path, 0), turn_in(tmp_path, 0)
    with file_locks.created(work, work.mkdir), in_turn[0], in_turn[1], file_locks.if_unused(work) as unused:
        assert unused
