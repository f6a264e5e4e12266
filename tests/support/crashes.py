"""Decisions about versions in processes that are killed before one of their writes, or that run at the same time.

A helper process, without TensorFlow and threads, forks the processes that decide:

    python -m support.crashes kill roll-back TEMPLATE FOLDER
"""

import errno
import importlib
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pipeline_admin
from distml.model import manifest
from distml.publishing.versions import decisions, publication
from distml.step import atomic_files, outcome
from distml.step.volume import Volume
from support.project import ROOT, SOURCE

KILLED = 99
WRITES = {f"os.{call}" for call in ("rename", "remove", "rmdir", "mkdir", "link", "symlink", "chmod", "truncate")}


def release_without_links(volume: Volume) -> None:
    """Release a version on a volume that has no hard links."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    os.link = refuse  # type: ignore[assignment]
    decisions.release(volume, 4, "it is good")


def withdraw_older(volume: Volume) -> None:
    """Withdraw the oldest two versions."""
    for number in (1, 2):
        decisions.withdraw(volume, number, "it is bad")


def remove_runs(volume: Volume) -> None:
    """Remove all runs but the last two and those that a version came from."""
    arguments = pipeline_admin.parse_args(["remove-runs", "--keep=2", "--volume", str(volume)])
    pipeline_admin.main(arguments)


DECISIONS: dict[str, Callable[[Volume], Any]] = {
    "publish": lambda volume: publication.publish(volume, candidate(volume), {}, keep=2),
    "publish signed": lambda volume: publication.publish(
        volume, candidate(volume), {}, keep=2, signing_key=volume.root / "key.pem"
    ),
    "release": lambda volume: decisions.release(volume, 4, "it is good"),
    "release without links": release_without_links,
    "withdraw": lambda volume: decisions.withdraw(volume, 4, "it is bad"),
    "withdraw older": withdraw_older,
    "reject": lambda volume: decisions.reject(volume, 4, "it is slow"),
    "roll-back": lambda volume: decisions.roll_back(volume, 2, "it is bad"),
    "complete": lambda volume: decisions.complete(volume),
    "remove runs": remove_runs,
}


def candidate(volume: Volume) -> Path:
    """Return the folder of a candidate of a few bytes, written by the first call."""
    folder = volume.root / "candidate"
    if not folder.exists():
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_bytes(b"model")
        manifest.write(folder, {"model": "plain"})
    return folder


def killed_before_each_write(decision: str, template: Path, folder: Path) -> list[Volume]:
    """Decide on copies of a volume; kill the process before its first write, its second, and so on.

    Returns:
        The copies in this order; on the last one the process was not killed.
    """
    _help("kill", decision, template, folder)
    return [Volume(path) for path in sorted(folder.iterdir())]


def at_once(names: list[str], volume: Volume, seconds: float = 0) -> list[int]:
    """Make several decisions at the same time, each in a process of its own that waits up to `seconds` at each write.

    The random waits make the writes of the processes alternate in ever other orders.

    Returns:
        The exit status of each decision.
    """
    return json.loads(_help("at-once", ",".join(names), volume.root, seconds).splitlines()[-1])


def before_writes(call: Callable[[], None]) -> None:
    """Call `call` before this process writes: creates, opens for writing, flushes, renames, links or removes a file."""

    def audit(event: str, arguments: tuple) -> None:
        opens = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if opens or event in WRITES:
            call()

    flush = atomic_files.flush_to_disk

    def count_and_flush(file: Any) -> None:
        call()
        flush(file)

    # Until it is flushed, a file is empty: its content is in a buffer of the process.
    atomic_files.flush_to_disk = count_and_flush
    sys.addaudithook(audit)


def _help(*arguments: object) -> str:
    environment = {**os.environ, "PYTHONPATH": f"{SOURCE}:{ROOT / 'tests'}"}
    command = [sys.executable, "-m", "support.crashes", *map(str, arguments)]
    ended = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    print(ended.stdout)
    ended.check_returncode()
    return ended.stdout


def _fork(decide: Callable[[Volume], Any], volume: Volume, before_a_write: Callable[[], None]) -> int:
    """Decide in a process that calls `before_a_write` before each of its writes; return its number."""
    if child := os.fork():
        return child
    random.seed()
    before_writes(before_a_write)
    status = 1
    try:
        decide(volume)
        status = 0
    except outcome.StepError as error:
        print(error)
        status = error.exit_status
    except Exception:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def _status(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_after(writes: int) -> Callable[[], None]:
    """Return a function that kills the process in the call after `writes` calls."""
    left = itertools.count()
    return lambda: os._exit(KILLED) if next(left) >= writes else None


def waiting(seconds: float) -> Callable[[], None]:
    """Return a function that waits at random, up to `seconds`."""
    return lambda: time.sleep(random.uniform(0, seconds))


def main(task: str, names: str, template: str, last: str) -> None:
    if task == "at-once":
        volume, wait = Volume(Path(template)), waiting(float(last))
        children = [_fork(DECISIONS[name], volume, wait) for name in names.split(",")]
        statuses = [_status(child) for child in children]
        assert set(statuses) <= {0, 2, 3}, statuses
        print(json.dumps(statuses))
        return
    if names == "publish signed":
        importlib.import_module("model_signing.signing")  # once, because it loads slowly
    for writes in itertools.count():
        volume = Volume(Path(last) / f"{writes:03}")
        shutil.copytree(template, volume.root)
        status = _status(_fork(DECISIONS[names], volume, killed_after(writes)))
        if status != KILLED:
            assert status == 0, status
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
