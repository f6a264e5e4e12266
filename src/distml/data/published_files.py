"""Fashion-MNIST's four published files: names, total size and hashes. Standard library only.

The modules that fetch the files use the types of this module to report.
"""

import gzip
import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path

from distml.step import outcome

# SHA-256 of the decompressed idx files. The .gz files differ between distributions of the same data.
CONTENT_SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
FILES = tuple(f"{name}.gz" for name in CONTENT_SHA256)
SMALLEST = "t10k-labels-idx1-ubyte.gz"  # 5 KB
TOTAL_BYTES = 30_878_645

# Called with the bytes received and the total, which is None while unknown.
Progress = Callable[[int, int | None], None]


class Unavailable(Exception):
    """A source of the files cannot be used now; the message is the reason, in a few words."""


class NotObtained(outcome.StepError):
    """The files could not be obtained, for example without a network; a retry may succeed."""

    exit_status = 1


def check_files(folder: Path) -> None:
    """Raise StepError unless the four files have the published content when decompressed."""
    for name in FILES:
        if fault := fault_of(folder / name):
            raise outcome.StepError(f"{folder / name} {fault}")


def fault_of(path: Path) -> str | None:
    """Return what is wrong with one of the four files and what to do; None if it has the published content."""
    digest = hashlib.sha256()
    try:
        if not path.is_file():
            return f"is missing; expected the four files {', '.join(FILES)}"
        with gzip.open(path) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        return f"cannot be decompressed ({error}); fetch it again"
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    if digest.hexdigest() != CONTENT_SHA256[path.stem]:
        return "does not have Fashion-MNIST's content (SHA-256 differs); fetch it again"
    return None
