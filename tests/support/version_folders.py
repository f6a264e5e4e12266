"""Folders of versions that appear and disappear as a publication's do: whole."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def publishing(folder: Path, number: int) -> Iterator[Path]:
    """Yield a hidden folder to fill; then rename it to `number`, replacing a version of that number."""
    work = folder / f".{number}"
    work.mkdir()
    yield work
    remove(folder, number)
    work.rename(folder / str(number))


def remove(folder: Path, number: int) -> None:
    """Rename the version, then delete it, so that the watch never sees half of it."""
    if (folder / str(number)).exists():
        (folder / str(number)).rename(folder / ".removed")
        shutil.rmtree(folder / ".removed")
