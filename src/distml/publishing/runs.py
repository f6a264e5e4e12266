"""The runs on the volume: why each of them stays, and the removal of the others.

A removal creates nothing, because a full volume may have no room even for an empty folder.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from distml.model import manifest as model_manifest
from distml.publishing.versions import folders
from distml.publishing.versions.history import History
from distml.step import outcome
from distml.step.atomic_files import hidden_beside
from distml.step.volume import Volume

# What a step writes without run.json: one that failed early, or one that outlived the removal of its run.
REMNANTS = {"failures", "report"}


class OriginUnknown(outcome.StepError):
    """It is not known from which run a version came, so every run may be its origin."""


class Run(NamedTuple):
    """A run's name, the size of its files in bytes, and the time of its last change in seconds since 1970."""

    name: str
    size: int
    changed: float


def find(volume: Volume) -> tuple[list[Run], list[OSError]]:
    """Return the runs, the last changed first, and the errors of those that this user may not read.

    Links and hidden folders belong to somebody else, and so do other folders without a run.json.
    """
    runs, errors = [], []
    paths = sorted(volume.runs.iterdir()) if volume.runs.exists() else []
    for path in paths:
        if path.name.startswith(".") or path.is_symlink():
            continue
        try:
            runs.append(_measure(path))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            errors.append(error)
    return sorted(runs, key=lambda run: run.changed, reverse=True), errors


def reasons_to_stay(volume: Volume, runs: Sequence[Run], keep: int, unused_hours: int) -> dict[str, str]:
    """Return why a run must stay, for each that must.

    Args:
        volume: the volume.
        runs: the runs, the last changed first.
        keep: how many of the first stay.
        unused_hours: a run that changed within so many hours is in use: its workflow may wait to train or publish.

    Raises:
        OriginUnknown: it is not known from which run a version came.
    """
    versions, now = versions_by_run(volume), time.time()
    reasons = {
        run.name: f"changed within {unused_hours} hours" for run in runs if now - run.changed < 3600 * unused_hours
    }
    reasons |= {run.name: f"one of the last {keep}" for run in runs[:keep]}
    return reasons | {run: f"origin of {_list(numbers)}" for run, numbers in versions.items()}


def versions_by_run(volume: Volume) -> dict[str, list[int]]:
    """Return the numbers of the versions on the volume, withdrawn ones included, by the run from which they came.

    A version that neither the history nor a manifest knows was not trained here.

    Raises:
        OriginUnknown: the history cannot be read, or a version is not in it and its manifest is damaged.
    """
    found: dict[str, list[int]] = {}
    try:
        published = History(volume.versions).state().published
        away = folders.numbers(volume.versions / folders.WITHDRAWN)
        for number in sorted({*folders.numbers(volume.versions), *away}):
            record = published.get(number)
            run = record.facts.get("run") if record else None
            if run := run or _run_in_manifest(folders.find(volume, number)):
                found.setdefault(str(run), []).append(number)
    except OSError as error:
        raise OriginUnknown(outcome.describe_os_error(error)[0]) from error
    return found


def _run_in_manifest(version: Path) -> str | None:
    """Return the run that a version's manifest names; None if the version has no manifest or has gone."""
    try:
        return model_manifest.read(version).get("run")
    except outcome.StepError as error:
        if (version / model_manifest.MANIFEST).exists():
            raise OriginUnknown(str(error)) from error
        return None


def mark_used(volume: Volume, run: str) -> None:
    """Make a run count as changed now, so that it stays while a version of it is prepared."""
    with contextlib.suppress(OSError):  # a missing run, or another user's: whoever uses it reports that better
        os.utime(volume.run(run))


def remove(volume: Volume, run: Run) -> bool:
    """Remove a run; return False if another process has removed, changed or published it since it was found.

    Raises:
        OriginUnknown: a version may have come from it.
        OSError: it cannot be removed. If this error names another folder, that one has what is left of the run.
    """
    folder = volume.run(run.name)
    try:
        unchanged = _measure(folder).changed == run.changed and run.name not in versions_by_run(volume)
        if unchanged:
            away = hidden_beside(folder)
            folder.rename(away)
            _delete(away)
    except FileNotFoundError:
        return False
    return unchanged


def remove_leftovers(volume: Volume) -> list[OSError]:
    """Remove what killed removals left of runs; return the errors."""
    errors = []
    for path in volume.half_removed_runs():
        try:
            _delete(path)
        except OSError as error:
            errors.append(error)
    return errors


def _delete(folder: Path) -> None:
    """Delete as much as possible of a folder, which another process may delete too; raise why something is left."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        error.filename = str(folder)  # the error names a file without its folders
        raise


def _measure(folder: Path) -> Run:
    """Measure a run; raise FileNotFoundError if the folder is none."""
    names = {path.name for path in folder.iterdir()}
    if "run.json" not in names and not (names and names <= REMNANTS):
        raise FileNotFoundError(f"{folder} is no run")
    size, changed = 0, 0.0
    for status, is_file in _statuses(folder):
        size += status.st_size if is_file else 0
        # A file's time may be in the future, as in a copy from a machine whose clock was wrong. The inode's is not.
        changed = max(changed, min(status.st_mtime, status.st_ctime or status.st_mtime))
    return Run(folder.name, size, changed)


def _statuses(folder: Path) -> Iterator[tuple[os.stat_result, bool]]:
    """Yield the status of each folder and file, the latter with True; skip what a worker removes meanwhile."""

    def fail(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    for parent, _, files in os.walk(folder, onerror=fail):
        for name in (".", *files):
            with contextlib.suppress(FileNotFoundError):
                yield Path(parent, name).lstat(), name != "."


def _list(numbers: Sequence[int]) -> str:
    return f"version{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
