"""The shared volume: its paths, its lock for one run of the whole pipeline at a time, and reading its small files."""

import contextlib
import errno
import fcntl
import json
import os
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distml.step import file_locks, outcome
from distml.step.atomic_files import NOT_SUPPORTED, naming, remove_abandoned, remove_folder

# The manifest and the signature of a version with ten files have 10 KB together.
MOST_BYTES = 1 << 20
# Files that stayed incomplete while this process waited for them, each with its length.
_incomplete: set[tuple[Path, int]] = set()


@dataclass(frozen=True)
class Volume:
    """The folder that all steps share: a claim on a cluster, `./trained_model` on a laptop."""

    root: Path

    @property
    def dataset(self) -> Path:
        return self.root / "datasets" / "fashion_mnist"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    def run(self, run: str) -> Path:
        return self.runs / run

    def half_removed_runs(self) -> list[Path]:
        """Return what killed removals left of runs, under names of `atomic_files.hidden_beside`."""
        return sorted(self.runs.glob(f".*-{'[0-9a-f]' * 16}"))

    def candidates(self, run: str) -> Path:
        return self.run(run) / "candidates"

    def candidate(self, run: str, model: str, seed: int) -> Path:
        return self.candidates(run) / candidate_name(model, seed)

    def checkpoints(self, run: str, model: str, seed: int) -> Path:
        return self.run(run) / "checkpoints" / candidate_name(model, seed)

    def failure(self, run: str, model: str, seed: int) -> Path:
        """Return the path of the last worker group's failure record, removed once there is a candidate."""
        return self.run(run) / "failures" / f"{candidate_name(model, seed)}.json"

    def logs(self, run: str, model: str, seed: int) -> Path:
        """Return the folder of TensorBoard's event files: `tensorboard --logdir <volume>/runs/<run>/logs`."""
        return self.run(run) / "logs" / candidate_name(model, seed)

    def run_report(self, run: str) -> Path:
        return self.run(run) / "report"

    @property
    def report(self) -> Path:
        """A copy of the report of the newest published run."""
        return self.root / "report"

    @property
    def versions(self) -> Path:
        """The folder that TensorFlow Serving and KServe read: one numbered folder per published version."""
        return self.root / "saved_model_versions"

    def version(self, number: int) -> Path:
        return self.versions / str(number)

    @property
    def history(self) -> Path:
        """The table of all decisions about versions, for people; the history itself is beside the versions."""
        return self.root / "history.txt"

    @property
    def lock(self) -> Path:
        """The file that a run of the whole pipeline locks."""
        return self.root / ".lock"

    def clear(self) -> None:
        """Remove all files of the steps, including leftovers of killed steps; keep other files in the folder.

        The versions and their history disappear in one step, so that no reader sees one without the other.
        """
        self.history.unlink(missing_ok=True)
        records = (*self.runs.glob("*/run.json"), *self.root.glob("report/report.json"))
        for path in (self.versions, self.dataset, *(record.parent for record in records), *self.half_removed_runs()):
            if path.is_symlink():
                path.unlink()
            elif path == self.versions:
                remove_folder(path)
            elif path.exists():
                shutil.rmtree(path)
        for path in (self.dataset, self.report, self.versions, self.history):
            remove_abandoned(path, older_than=0)

    def __str__(self) -> str:
        return str(self.root)


def candidate_name(model: str, seed: int) -> str:
    """Return the name of a model trained with one seed, in folders and messages: `batchnorm-seed1`."""
    return f"{model}-seed{seed}"


def model_and_seed(name: str) -> tuple[str, int] | None:
    """Return the model and the seed in a name that `candidate_name` returned; None for any other name."""
    model, _, seed = name.rpartition("-seed")
    named = bool(model) and seed.isdecimal() and candidate_name(model, int(seed)) == name
    return (model, int(seed)) if named else None


class InUse(outcome.StepError):
    """Another process uses the volume; a retry may succeed."""

    exit_status = 1


@contextlib.contextmanager
def hold_lock(volume: Volume) -> Iterator[int]:
    """Hold the volume's lock; yield its descriptor. A process that inherits the descriptor also holds the lock.

    Workers that outlive their launcher continue to train, so they keep the lock until they end. On a volume without
    locks, a warning is printed once.

    Raises:
        InUse: another process holds the lock.
    """
    volume.root.mkdir(parents=True, exist_ok=True)
    with volume.lock.open("w") as file:
        with naming(volume.lock):
            _lock(volume, file.fileno())
        yield file.fileno()


@contextlib.contextmanager
def turn_in(folder: Path, seconds: float) -> Iterator[None]:
    """Run the block while no other process has its turn in `folder`, which must exist.

    Raises:
        InUse: another process has not ended its turn after `seconds`.
    """
    deadline = time.monotonic() + seconds
    with file_locks.opened(folder) as descriptor:
        while not file_locks.locked(descriptor):
            if time.monotonic() > deadline:
                raise InUse(f"another process has used {folder} for more than {seconds:.0f} s; wait until it ends")
            time.sleep(0.1)
        yield


def _lock(volume: Volume, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES):
            raise InUse(
                f"another run uses {volume} (or workers that it left behind); wait until they end, or end them"
            ) from None
        if error.errno not in (errno.ENOLCK, *NOT_SUPPORTED):
            raise
        outcome.write_line(
            sys.stderr,
            f"warning: {volume} has no file locks ({error.strerror}); nothing prevents a second run, so start one"
            " run at a time",
        )


def read_small(path: Path) -> bytes:
    """Return the content of a file that whoever can write to the volume may have replaced.

    A pipe never blocks, and a file without an end never fills the memory.

    Raises:
        ValueError: it is not a regular file, or it has more than `MOST_BYTES`.
        OSError: it is missing or cannot be read.
    """
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
            content = file.read(MOST_BYTES + 1) if regular else b""
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.ENXIO, errno.ELOOP):  # a folder, a socket, a link to itself
            raise
        regular = False
    if not regular or len(content) > MOST_BYTES:
        raise ValueError(f"{path} is not a regular file of at most {MOST_BYTES} bytes")
    return content


def read_created_json(path: Path, seconds: float) -> Any:
    """Return the content of a file of `create_json`; None if it is damaged, or incomplete for `seconds`.

    A file that stayed incomplete is not waited for again.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            text = read_small(path)
        except ValueError:
            return None
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(text)
        may_grow = not text.endswith(b"\n") and (path, len(text)) not in _incomplete
        if not may_grow or time.monotonic() >= deadline:
            break
        time.sleep(0.1)
    if seconds:
        _incomplete.add((path, len(text)))
    return None
