"""Atomic writes: files and folders are written beside their target, then renamed. Also SHA-256 hashes of files."""

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

from distml.step import file_locks

# Errors of file systems that lack a call or deny it to this user: Azure Files, exFAT, NTFS under WSL, object stores and
# others under FUSE.
NOT_SUPPORTED = (
    *(errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOSYS, errno.ENOTTY),
    *(errno.ENOTSUP, errno.EOPNOTSUPP),
)
# How long another process may take to finish a file of `create_json`, on a slow volume without hard links.
SECONDS_TO_WRITE = 5.0


@contextlib.contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """Yield a new folder beside `target`; remove it when the block ends, unless the block renamed it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(target)
    work = hidden_beside(target)
    try:
        with naming(target), file_locks.created(work, lambda: work.mkdir(0o755)):
            set_mode(work, 0o755)
            yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def hidden_beside(target: Path) -> Path:
    """Return a random hidden path beside `target`."""
    return target.with_name(f".{target.name}-{secrets.token_hex(8)}")


def remove_abandoned(target: Path, older_than: float = 6 * 3600) -> None:
    """Remove what killed processes left beside `target`, unless it changed in the last `older_than` seconds.

    The name of `target` may be a glob pattern. A clock may jump, so what a process shows as in use stays in any case.
    """
    for leftover in target.parent.glob(f".{target.name}-*"):
        # Its owner may rename or remove it at this moment.
        with contextlib.suppress(OSError), file_locks.if_unused(leftover) as unused:
            changed = max(path.stat().st_mtime for path in (leftover, *leftover.rglob("*")))
            # Object stores may report no time for a folder; another process may be filling it.
            if older_than and (changed <= 0 or time.time() - changed <= older_than or not unused):
                continue
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink()


def rename_folder(work: Path, target: Path) -> bool:
    """Rename `work` to `target`; return False if `target` exists, because another process was faster."""
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
    """Remove `target` if it exists. Renaming it first hides a half-removed folder from readers."""
    remove_abandoned(target)
    away = hidden_beside(target)  # in no new folder, for which a full disk may have no room
    with contextlib.suppress(FileNotFoundError):
        target.rename(away)
        shutil.rmtree(away, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Flush every file below `folder` to the disk: after a power cut, a renamed folder must have its content."""
    for path in folder.rglob("*"):
        if path.is_file():
            with naming(path), path.open("rb") as file:
                flush_to_disk(file)
        elif path.is_dir():
            set_mode(path, 0o755)  # TensorFlow's own folders too


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Add `path` to the block's OSErrors that name no file, such as the error of a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno and error.filename is None:
            error.filename = str(path)
        raise


def flush_to_disk(file: IO) -> None:
    """Flush a file to the disk if the volume can; if it cannot, hashes reveal the damage of a power cut."""
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise


def shared_by_group() -> bool:
    """Return whether the group may write what this user may: in pods of any user with the group root (OpenShift)."""
    return os.getgid() == 0 and os.getuid() != 0


def set_mode(path: Path, mode: int) -> None:
    """Set the mode of a new file or folder, regardless of the umask; on some volumes only the mount sets modes."""
    try:
        path.chmod(mode | 0o020 if shared_by_group() else mode)
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise


def make_folder(folder: Path) -> None:
    """Make a folder that every user may read, regardless of the umask, unless it exists."""
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        set_mode(folder, 0o755)


def copy_folder(source: Path, target: Path) -> None:
    """Copy all files below `source` into the folder `target`: only their content, which every volume can store."""
    for path in sorted(source.rglob("*")):
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir()
        else:
            shutil.copyfile(path, copy)


def json_beside(target: Path, content: Any) -> contextlib.AbstractContextManager[Path]:
    """Yield a new JSON file of `content` beside `target`; remove it after the block, unless the block renamed it."""
    return _text_beside(target, json.dumps(content, indent=2) + "\n")


@contextlib.contextmanager
def _text_beside(target: Path, text: str) -> Iterator[Path]:
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_abandoned(target)
    work = hidden_beside(target)
    try:
        with file_locks.created(work, lambda: work.touch(exist_ok=False)):
            with naming(target), work.open("w") as file:
                file.write(text)
                flush_to_disk(file)  # after a power cut, a renamed file must have its content
            set_mode(work, 0o644)
            yield work
    finally:
        work.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write `content` to `path` as JSON, atomically."""
    with json_beside(path, content) as work:
        work.replace(path)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with _text_beside(path, text) as work:
        work.replace(path)


def create_json(path: Path, content: Any) -> None:
    """Write `content` to the new file `path` as JSON. Of several processes that create the file, one succeeds.

    Raises:
        FileExistsError: the file exists.
    """
    with json_beside(path, content) as new:
        try:
            os.link(new, path)
        except FileExistsError:
            raise
        except OSError:  # many volumes lack hard links, and report that with different errors
            _write_first(path, new.read_bytes())


def _write_first(path: Path, content: bytes) -> None:
    """Write a new file, unless another process has created it; a reader may find the file incomplete.

    Raises:
        FileExistsError: another process created the file first.
    """
    with naming(path), path.open("xb") as file:
        try:
            file.write(content)
            flush_to_disk(file)
        except BaseException as error:
            # An object store may notice only now that another process was faster; it then reports a stale file.
            if isinstance(error, OSError) and error.errno == errno.ESTALE:
                raise FileExistsError from error
            path.unlink()
            raise
    set_mode(path, 0o644)


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below `folder` by its relative POSIX path, without hidden files."""
    return {
        path.relative_to(folder).as_posix(): sha256_of_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
