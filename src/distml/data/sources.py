"""Sources of Fashion-MNIST's four files: a folder, a download, or Debian's package.

An unreachable source is given up within seconds, and files are checked before they are used. Standard library only,
since `make doctor` runs before the Python environment exists.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

from distml.data import debian_package, download
from distml.data.published_files import FILES, NotObtained, Progress, Unavailable, check_files, fault_of
from distml.step import command_line, outcome

WORDS = ("auto", "download", "apt")
DEBIAN_FOLDER = Path("/") / debian_package.FOLDER_IN_PACKAGE

T = TypeVar("T")


class Source(NamedTuple):
    """A place to get the files from. Both functions raise Unavailable or StepError if they fail."""

    where: Callable[[], str]
    fetch: Callable[[Path, Progress | None], Path]


def source(text: str) -> str:
    """Accept a word of `WORDS` or an existing folder (argparse type)."""
    if text in WORDS:
        return text
    folder = command_line.path(text)
    if not text or not os.path.isdir(folder):  # noqa: PTH112  # Path.is_dir raises if a parent is unreadable
        words = ", ".join(WORDS)
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a readable folder; give {words} or a folder with the four .gz files"
        )
    return str(folder)


def obtain(source: str, folder: Path, progress: Progress | None = None) -> Path:
    """Get the four files and check their content.

    Args:
        source: `auto` (the first that works), `download`, `apt`, or the path of a folder with the files.
        folder: an empty folder, for files that have to be fetched.
        progress: called with the bytes received and the total, which is None while unknown.

    Returns:
        The folder with the files, which is not always `folder`.

    Raises:
        NotObtained: no source works.
        StepError: a file is missing or damaged in the folder that `source` names.
        OSError: this machine's disk is full.
    """
    return _first_that_works(source, lambda place: place.fetch(folder, progress))


def where(source: str) -> str:
    """Describe the source that `obtain` would use, without fetching all files. Raises what `obtain` raises."""
    return _first_that_works(source, lambda place: place.where())


def _first_that_works(source: str, attempt: Callable[[Source], T]) -> T:
    """Return the result of `attempt` for the first source that works."""
    if source not in WORDS:
        return attempt(_folder(Path(source)))
    reasons = []
    for place in _places(source):
        try:
            return attempt(place)
        except Unavailable as error:
            reasons.append(str(error))
        except outcome.StepError as error:
            reasons.append(str(error))
            outcome.write_line(sys.stdout, f"skipped: {error}")
    raise NotObtained(
        f"Fashion-MNIST could not be downloaded: {'; '.join(reasons)}. Connect this machine to the internet, or install"
        f" the Debian package {debian_package.PACKAGE}, or give a folder with the four .gz files (make run"
        " SOURCE=FOLDER; --source FOLDER)"
    )


def _places(source: str) -> list[Source]:
    """Return the places to try, in order, for one of `WORDS`."""
    server, package = Source(download.where, download.fetch), Source(_describe_package, _fetch_package)
    if source != "auto":
        return [{"download": server, "apt": package}[source]]
    installed = [_folder(DEBIAN_FOLDER)] if DEBIAN_FOLDER.is_dir() else []
    return [*installed, server, package]


def _folder(folder: Path) -> Source:
    """Return the source for a folder of this machine."""

    def where() -> str:
        check_files(folder)
        return f"the folder {folder}"

    def fetch(*_: object) -> Path:
        outcome.write_line(sys.stdout, f"reading Fashion-MNIST from {folder}")
        check_files(folder)
        return folder

    return Source(where, fetch)


def _describe_package() -> str:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        size = debian_package.size(Path(folder))
    return f"Debian's package {debian_package.PACKAGE}" + (f" ({size / 1e6:.0f} MB)" if size else "") + " by apt-get"


def _fetch_package(folder: Path, progress: Progress | None) -> Path:
    """Fetch and unpack Debian's package."""
    outcome.write_line(sys.stdout, f"fetching Fashion-MNIST as Debian's package {debian_package.PACKAGE} by apt-get")
    work = folder / "package"
    work.mkdir()
    files = debian_package.fetch(work, progress)
    for name in FILES:
        if fault := fault_of(files / name):
            raise NotObtained(f"{name} in the package {debian_package.PACKAGE} {fault}")
    return files
