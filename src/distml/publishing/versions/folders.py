"""The folders of the published versions: their numbers, and the place of the withdrawn ones.

Each version is a complete folder with a number, which TensorFlow Serving and KServe read.
"""

import contextlib
import json
from pathlib import Path

from distml.publishing.versions.history import State
from distml.step import outcome
from distml.step.atomic_files import make_folder, rename_folder
from distml.step.progress_bar import say
from distml.step.volume import Volume, read_small

# File beside the versions with the highest number ever given. Servers ignore it: its name is not a number.
HIGHEST = ".highest"
# Folder beside the versions with the withdrawn ones, where no server looks.
WITHDRAWN = ".withdrawn"


def numbers(versions: Path) -> list[int]:
    """Return the version numbers in the folder `versions`, ascending; ignore files and other names, such as 007."""
    if not versions.is_dir():
        return []
    names = [folder.name for folder in versions.iterdir() if folder.is_dir()]
    return sorted(int(name) for name in names if name.isdecimal() and name == str(int(name)))


def offered(versions: Path, state: State) -> list[int]:
    """Return the numbers of the versions that are not withdrawn, ascending."""
    return [number for number in numbers(versions) if number not in state.withdrawn]


def next_number(volume: Volume, state: State) -> int:
    """Return a number above all numbers ever given, even if newer versions were removed.

    Servers and administrators assume that a version number never changes meaning.

    Raises:
        StepError: the record of the highest number is damaged.
    """
    path = volume.versions / HIGHEST
    try:
        highest = int(json.loads(read_small(path)))
    except FileNotFoundError:
        highest = 0
    except (ValueError, TypeError, OverflowError, RecursionError):
        raise outcome.StepError(f"{path} is damaged; write the highest version number ever published into it") from None
    away = numbers(volume.versions / WITHDRAWN)
    return max(highest, *numbers(volume.versions), *away, *state.published, *state.withdrawn, 0) + 1


def kept(versions: Path, state: State) -> list[int]:
    """Return the numbers of the versions that can be released, withdrawn ones included, ascending."""
    return sorted({*offered(versions, state), *numbers(versions / WITHDRAWN)})


def find(volume: Volume, number: int) -> Path:
    """Return the folder of a version, which a withdrawn version has elsewhere."""
    away = volume.versions / WITHDRAWN / str(number)
    return away if away.is_dir() else volume.version(number)


def move_to_fit(volume: Volume, state: State) -> None:
    """Move the folders of withdrawn versions away from the servers, and that of a version released again back.

    A killed process may have left a folder where it was. No file is ever lost.
    """
    away = volume.versions / WITHDRAWN
    for number in numbers(volume.versions):
        if number in state.withdrawn:
            make_folder(away)
            _move(volume.version(number), away / str(number))
    # Any other version that is not withdrawn has lost the record of its withdrawal, and stays away.
    if state.released and state.released in numbers(away):
        _move(away / str(state.released), volume.version(state.released))


def put_back(volume: Volume, number: int) -> None:
    """Move the folder of a withdrawn version back, before the record that releases it.

    Raises:
        StepError: another folder has its place.
    """
    away, place = volume.versions / WITHDRAWN / str(number), volume.version(number)
    if away.is_dir():
        if place.exists():
            raise outcome.StepError(_two_folders(away, place))
        _move(away, place)


def _move(folder: Path, target: Path) -> None:
    with contextlib.suppress(FileNotFoundError):  # another process has moved it
        if not rename_folder(folder, target) and folder.exists():
            say(_two_folders(folder, target))


def _two_folders(folder: Path, other: Path) -> str:
    return f"{folder} and {other} have the same number, so neither is moved; keep the right one and remove the other"
