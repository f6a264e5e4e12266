"""Published versions: complete folders with rising numbers, which TensorFlow Serving and KServe read."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from distml.model import manifest as model_manifest
from distml.publishing.versions.version_files import ADDED_FILES
from distml.step import outcome
from distml.step.atomic_files import (
    copy_folder,
    folder_beside,
    remove_abandoned,
    remove_folder,
    rename_folder,
    write_json,
)
from distml.step.progress_bar import say
from distml.step.volume import Volume

# File beside the versions with the highest number ever given. Servers ignore it: its name is not a number.
HIGHEST = ".highest"


def numbers(versions: Path) -> list[int]:
    """Return the version numbers in the folder `versions`, ascending; ignore files and other names, such as 007."""
    if not versions.is_dir():
        return []
    names = [folder.name for folder in versions.iterdir() if folder.is_dir()]
    return sorted(int(name) for name in names if name.isdecimal() and name == str(int(name)))


def current(volume: Volume) -> Path | None:
    """Return the folder of the newest version; None if nothing is published."""
    published = numbers(volume.versions)
    return volume.version(published[-1]) if published else None


def next_number(volume: Volume) -> int:
    """Return a number above all numbers ever given, even if a roll-back has removed the newest version.

    Servers and administrators assume that a version number never changes meaning.

    Raises:
        StepError: the record of the highest number is damaged.
    """
    path = volume.versions / HIGHEST
    try:
        highest = int(json.loads(path.read_text()))
    except FileNotFoundError:
        highest = 0
    except (ValueError, TypeError):
        raise outcome.StepError(f"{path} is damaged; write the highest version number ever published into it") from None
    return max(highest, *numbers(volume.versions), 0) + 1


def publish(
    volume: Volume, candidate: Path, facts: dict, keep: int, complete: Callable[[Path], dict] = lambda work: {}
) -> int:
    """Copy a candidate beside the versions, verify the copy, then rename it to the next number.

    Args:
        volume: the volume.
        candidate: folder of the candidate.
        facts: entries to add to the candidate's manifest.
        keep: number of versions to keep for a roll-back, at least 1.
        complete: adds files to the version before the files are hashed, and returns more entries for the manifest.

    Returns:
        The version's number.

    Raises:
        StepError: the copy does not match the candidate's manifest.
    """
    while True:
        number = next_number(volume)
        with folder_beside(volume.version(number)) as work:
            copy_folder(candidate, work)
            manifest = model_manifest.verified(work)
            added = complete(work)
            published = datetime.now(UTC).isoformat(timespec="seconds")
            model_manifest.write(work, {**manifest, **facts, **added, "version": number, "published": published})
            write_json(volume.versions / HIGHEST, number)  # before the rename: a number may be lost, never given twice
            if rename_folder(work, volume.version(number)):
                break
    for old in numbers(volume.versions)[:-keep]:
        remove_folder(volume.version(old))
    remove_abandoned(volume.versions / "[0-9]*")  # left by killed publications, whose numbers are never used again
    return number


def publish_once(
    volume: Volume, candidate: Path, facts: dict, keep: int, complete: Callable[[Path], dict] = lambda work: {}
) -> int:
    """Publish unless the newest version was made from this candidate; return the version's number.

    The arguments are those of `publish`; `candidate_digest` in `facts` identifies the candidate.
    """
    published = current(volume)
    if published:
        manifest = model_manifest.verified(published)
        same_candidate = manifest.get("candidate_digest") == facts["candidate_digest"]
        if same_candidate and manifest["files"].keys() >= ADDED_FILES:
            say(f"already published as version {published.name}; its files verify")
            return int(published.name)
    version = publish(volume, candidate, facts, keep, complete)
    say(f"published as version {version}")
    return version
