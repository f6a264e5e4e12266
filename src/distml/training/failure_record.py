"""The last line of a worker that failed, kept on the volume: of a failed TFJob neither pods nor logs stay."""

import argparse
import contextlib
import json
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from distml.step import command_line, outcome
from distml.step.atomic_files import write_json
from distml.step.volume import Volume
from distml.training import tf_config

WRONG_INPUT = outcome.StepError.exit_status


@dataclass(frozen=True)
class Failure:
    """How a worker ended: its place in the group, its exit status and what it said."""

    worker: int
    status: int
    message: str

    def __str__(self) -> str:
        return f"worker {self.worker} ended with status {self.status}: {self.message}"


def keep_from_now_on(argv: list[str]) -> None:
    """Should this worker fail, keep its last line, if its arguments name volume, run and model.

    Called before they are parsed, as a wrong one is a failure too.
    """
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    for name in ("--volume", "--run", "--model"):
        parser.add_argument(name, default="")
    try:
        given, _ = parser.parse_known_args(argv)
    except argparse.ArgumentError:
        return
    names = [given.run, given.model]
    if given.volume and Path(given.volume).is_dir() and all(map(command_line.PLAIN_NAME.fullmatch, names)):
        outcome.endings.append(partial(_keep, Volume(Path(given.volume)).failure(*names)))


def read(path: Path) -> Failure | None:
    """What is kept there; None when nothing is, or nothing that can be read."""
    try:
        return Failure(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _keep(path: Path, message: str, status: int) -> None:
    if status == outcome.TERMINATED:  # whoever stopped it knows a better reason
        return
    before = read(path)
    if before and before.status == WRONG_INPUT != status:  # a peer that lost this worker
        return
    with contextlib.suppress(OSError):  # the volume may be what failed
        write_json(path, asdict(Failure(_worker_index(), status, message)))


def _worker_index() -> int:
    try:
        return tf_config.read().index
    except outcome.StepError:
        return 0
