"""The error message of a failed worker, kept on the volume, where it outlives the TFJob's pods and their logs."""

import contextlib
import json
import os
import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from distml.step import command_line, outcome
from distml.step.atomic_files import write_json
from distml.step.volume import Volume, model_and_seed, read_small
from distml.training.group import tf_config

# The environment variable that names the record's file; without it, no record is kept.
VARIABLE = "FAILURE_RECORD"
WRONG_INPUT = outcome.StepError.exit_status


@dataclass(frozen=True)
class Failure:
    """The failed end of a worker: its index in the group, its exit status and its error message."""

    worker: int
    status: int
    message: str

    def __str__(self) -> str:
        return f"worker {self.worker} ended with status {self.status}: {self.message}"


def start_recording() -> None:
    """Keep this worker's error message, if it fails, in the file that FAILURE_RECORD names.

    An invalid file name causes a warning: the worker runs, and its failure is not recorded.
    """
    name = os.environ.get(VARIABLE)
    if not name:
        return
    path = Path(name)
    if _is_record(path) and _volume_of(path).root.is_dir():
        outcome.failure_callbacks.append(partial(_keep, path))
    else:
        outcome.write_line(
            sys.stderr,
            f"warning: {VARIABLE} is {name!r}, expected /<volume>/runs/<run>/failures/<model>-seed<seed>.json on an"
            " existing volume; a failure of this worker is not recorded",
        )


def _is_record(path: Path) -> bool:
    """Return whether the path is absolute and has the form that `Volume.failure` returns."""
    named = model_and_seed(path.stem)
    if not named or not path.is_absolute() or len(path.parents) < 4:
        return False
    run = path.parents[1].name
    plain = all(map(command_line.PLAIN_NAME.fullmatch, (run, path.stem)))
    return plain and path == _volume_of(path).failure(run, *named)


def _volume_of(path: Path) -> Volume:
    return Volume(path.parents[3])


def read(path: Path) -> Failure | None:
    """Return the failure recorded in the file; None if the file is missing or damaged."""
    try:
        return Failure(**json.loads(read_small(path)))
    except (OSError, ValueError, RecursionError, TypeError):
        return None


def remove(volume: Volume, run: str, model: str, seed: int) -> None:
    """Remove the record of an earlier failure, if there is one."""
    volume.failure(run, model, seed).unlink(missing_ok=True)


def _keep(path: Path, message: str, status: int) -> None:
    if status == outcome.TERMINATED:  # the process that stopped the worker knows the reason
        return
    recorded = read(path)
    if recorded and (status == outcome.LOST_PEER or recorded.status == WRONG_INPUT != status):
        return  # the record may have the peer's reason
    with contextlib.suppress(OSError):  # the volume may be what failed
        write_json(path, asdict(Failure(_worker_index(), status, message)))


def _worker_index() -> int:
    try:
        return tf_config.read().index
    except outcome.StepError:
        return 0
