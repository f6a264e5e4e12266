"""Where Fashion-MNIST's four files come from: a folder, tensorflow-datasets' address, or Debian's package.

Nothing waits long for what is out of reach, and nothing is used before its content is checked. Standard library only:
it also runs where no environment has been made yet.
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
    """A place to get the files from. Both functions raise Unavailable or StepError when they cannot."""

    where: Callable[[], str]
    fetch: Callable[[Path, Progress | None], Path]


def source(text: str) -> str:
    """An argparse type: a word of `WORDS`, or a folder that is there."""
    if text in WORDS:
        return text
    folder = command_line.path(text)
    if not text or not os.path.isdir(folder):  # noqa: PTH112  # Path.is_dir raises where a parent cannot be read
        words = ", ".join(WORDS)
        raise argparse.ArgumentTypeError(
            f"{text!r} is no folder that can be read; give {words} or a folder with the four .gz files"
        )
    return str(folder)


def obtain(source: str, folder: Path, progress: Progress | None = None) -> Path:
    """Get the four files, and check their content.

    Args:
        source: `auto` (the first that works), `download`, `apt`, or the path of a folder that has them.
        folder: is empty; takes what has to be fetched.
        progress: called with the bytes that have arrived and the total, None while that is unknown.

    Returns:
        The folder that holds them, which is not always `folder`.

    Raises:
        NotObtained: no source worked.
        StepError: the folder of the caller's choice does not hold them.
        OSError: this machine's disk is full.
    """
    return _first_that_works(source, lambda candidate: candidate.fetch(folder, progress))


def where(source: str) -> str:
    """Say in a few words where `obtain` would get the files, without fetching them. Raises what `obtain` raises."""
    return _first_that_works(source, lambda candidate: candidate.where())


def _first_that_works(source: str, attempt: Callable[[Source], T]) -> T:
    """Return what `attempt` returns for the first source with which it succeeds."""
    if source not in WORDS:
        return attempt(_folder(Path(source)))
    reasons = []
    for candidate in _candidates(source):
        try:
            return attempt(candidate)
        except Unavailable as error:
            reasons.append(str(error))
        except outcome.StepError as error:
            reasons.append(str(error))
            outcome.write_line(sys.stdout, f"passed over: {error}")
    raise NotObtained(
        f"Fashion-MNIST could not be downloaded: {'; '.join(reasons)}. Connect this machine to the internet, or install"
        f" the Debian package {debian_package.PACKAGE}, or give a folder with its four .gz files (make run"
        " SOURCE=FOLDER; --source FOLDER)"
    )


def _candidates(source: str) -> list[Source]:
    """The sources that a word stands for, in the order in which they are tried."""
    server, package = Source(download.where, download.fetch), Source(_where_package, _package)
    if source != "auto":
        return [{"download": server, "apt": package}[source]]
    installed = [_folder(DEBIAN_FOLDER)] if DEBIAN_FOLDER.is_dir() else []
    return [*installed, server, package]


def _folder(folder: Path) -> Source:
    """The source that is a folder of this machine."""

    def where() -> str:
        check_files(folder)
        return f"the folder {folder}"

    def use(*_: object) -> Path:
        outcome.write_line(sys.stdout, f"reading Fashion-MNIST from {folder}")
        check_files(folder)
        return folder

    return Source(where, use)


def _where_package() -> str:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        size = debian_package.size(Path(folder))
    return f"Debian's package {debian_package.PACKAGE}" + (f" ({size / 1e6:.0f} MB)" if size else "") + " by apt-get"


def _package(folder: Path, progress: Progress | None) -> Path:
    """Fetch and unpack Debian's package."""
    outcome.write_line(sys.stdout, f"fetching Fashion-MNIST as Debian's package {debian_package.PACKAGE} by apt-get")
    work = folder / "package"
    work.mkdir()
    files = debian_package.fetch(work, progress)
    for name in FILES:
        if fault := fault_of(files / name):
            raise NotObtained(f"in the package {debian_package.PACKAGE} {name} {fault}")
    return files
