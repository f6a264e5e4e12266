"""Files and folders that nobody sees half-written: written beside, then renamed; and their hashes."""

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

# What a file system answers to a call that it does not have, or not for this user: Azure Files, exFAT, NTFS under WSL,
# object stores and others under FUSE.
NOT_SUPPORTED = (
    *(errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOSYS, errno.ENOTTY),
    *(errno.ENOTSUP, errno.EOPNOTSUPP),
)


@contextlib.contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """A new folder beside `target` to fill; it is removed when the block ends, unless it was renamed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(target)
    work = _beside(target)
    work.mkdir(0o755)
    let_others_read(work, 0o755)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _beside(target: Path) -> Path:
    """A name beside `target` that nobody else uses."""
    return target.with_name(f".{target.name}-{secrets.token_hex(8)}")


def remove_abandoned(target: Path, older_than: float = 6 * 3600) -> None:
    """Remove what processes that were killed left beside `target`, once it is `older_than` seconds old.

    The name of `target` may be a pattern.
    """
    for left in target.parent.glob(f".{target.name}-*"):
        with contextlib.suppress(OSError):  # whoever works there renames it, or removes it too
            changed = max(path.stat().st_mtime for path in (left, *left.rglob("*")))
            # An object store may give folders no time: another process may be filling this one.
            if older_than and (changed <= 0 or time.time() - changed <= older_than):
                continue
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink()


def rename_folder(work: Path, target: Path) -> bool:
    """Rename `work` to `target`; False when `target` was already there (somebody else was faster)."""
    sync_folder(work)
    try:
        work.rename(target)
    except OSError:
        if target.exists():
            return False
        raise
    return True


def replace_folder(work: Path, target: Path) -> None:
    """Put `work` in the place of `target`, which may exist."""
    if not rename_folder(work, target):
        with folder_beside(target) as old:
            target.rename(old / target.name)
            rename_folder(work, target)


def remove_folder(target: Path) -> None:
    """Remove `target`, if it is there: renamed away first, so that no half of it is ever seen under its name."""
    with folder_beside(target) as away, contextlib.suppress(FileNotFoundError):
        target.rename(away / target.name)


def sync_folder(folder: Path) -> None:
    """Flush every file below `folder` to the disk, so that a rename never outlives its content."""
    for path in folder.rglob("*"):
        if path.is_file():
            with naming(path), path.open("rb") as file:
                flush_to_disk(file)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name `path` in the block's errors of the system that name no file, as those of a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno and error.filename is None:
            error.filename = str(path)
        raise


def flush_to_disk(file: IO) -> None:
    """Flush a file to the disk, where the volume can; elsewhere hashes tell after a power cut what is damaged."""
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise


def let_others_read(path: Path, mode: int) -> None:
    """Give a new file or folder its permissions, whatever the umask; on some volumes only the mount sets any."""
    try:
        path.chmod(mode)
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise


def copy_folder(source: Path, target: Path) -> None:
    """Copy all files below `source` into the folder `target`: their content alone, as every volume can."""
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir()
        else:
            shutil.copyfile(path, copy)


@contextlib.contextmanager
def json_beside(target: Path, content: Any) -> Iterator[Path]:
    """A new file beside `target` that holds `content`; it is removed when the block ends, unless it was renamed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(target)
    work = _beside(target)
    try:
        with naming(target), work.open("x") as file:
            json.dump(content, file, indent=2)
            file.write("\n")
            flush_to_disk(file)  # a name must not outlive its content
        let_others_read(work, 0o644)
        yield work
    finally:
        work.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON: beside, then renamed."""
    with json_beside(path, content) as work:
        work.replace(path)


def sha256_of_file(path: Path) -> str:
    """In hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_files(folder: Path) -> dict[str, str]:
    """The hash of each file below `folder`, by its relative path in POSIX form; hidden files are left out."""
    return {
        path.relative_to(folder).as_posix(): sha256_of_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
