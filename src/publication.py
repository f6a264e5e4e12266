"""Published versions: numeric, rising, each whole; what TensorFlow Serving and KServe read."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import model_manifest
from volume import Volume, folder_beside, rename_folder


def numbers(volume: Volume) -> list[int]:
    """The version numbers that are published, rising."""
    if not volume.versions.is_dir():
        return []
    return sorted(int(folder.name) for folder in volume.versions.iterdir() if folder.name.isdecimal())


def current(volume: Volume) -> Path | None:
    """The folder of the newest version; None before anything is published."""
    published = numbers(volume)
    return volume.version(published[-1]) if published else None


def publish(volume: Volume, candidate: Path, facts: dict, keep: int) -> int:
    """Copy a verified candidate beside the versions, then rename it to the next number.

    Args:
        volume: the volume.
        candidate: folder of the candidate.
        facts: what the version's manifest says beyond the candidate's.
        keep: how many versions stay, for roll-back; at least 1.

    Returns:
        The version's number.
    """
    manifest = model_manifest.verified(candidate)
    while True:
        number = max(numbers(volume), default=0) + 1
        with folder_beside(volume.version(number)) as work:
            shutil.copytree(candidate, work, dirs_exist_ok=True)
            published = datetime.now(UTC).isoformat(timespec="seconds")
            model_manifest.write(work, {**manifest, **facts, "version": number, "published": published})
            if rename_folder(work, volume.version(number)):
                break
    for old in numbers(volume)[:-keep]:
        shutil.rmtree(volume.version(old))
    return number
