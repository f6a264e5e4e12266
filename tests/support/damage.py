"""Damages of files, and what a step made of one: it named the file, did the work again, or needed nothing of it."""

import hashlib
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CompletedProcess

KINDS = ("bit flipped", "cut to half", "emptied", "removed", "a folder", "other bytes")
# What a step made of a damage.
NAMED, REDONE, HARMLESS, LEFT = "named", "made_again", "not_needed", "left_as_a_folder"
FOLDER_NAMED = "its_folder_named"


class Lost(Exception):
    """A damage that was used silently, crashed a step, or cost something intact."""


def files_below(folder: Path) -> list[Path]:
    """Return the files below a folder, hidden ones included, in order."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def damages(files: list[Path], times: int, seed: int, flips: int = 1) -> list[tuple[Path, str, int]]:
    """Return damages as (file, kind, seed): every kind for each file, and a number of flips; at most `times` of them.

    If they are not all, they are drawn so that files and kinds differ as much as possible.
    """
    drawn = random.Random(seed)
    every = [
        (file, kind, drawn.randrange(2**32))
        for file in files
        for kind in KINDS
        for _ in range(flips if kind == KINDS[0] else 1)
    ]
    drawn.shuffle(every)
    seen: Counter[object] = Counter()
    chosen: list[tuple[Path, str, int]] = []
    while every and len(chosen) < times:
        every.sort(key=lambda one: seen[one[0]] + seen[one[1]])
        chosen.append(every.pop(0))
        seen.update(chosen[-1][:2])
    return chosen


def damage(path: Path, kind: str, seed: int) -> None:
    """Damage a file in one of the `KINDS`; `seed` decides position and content."""
    drawn, content = random.Random(seed), path.read_bytes()
    if kind in ("removed", "a folder"):
        path.unlink()
        if kind == "a folder":
            path.mkdir()
        return
    if kind == "bit flipped":
        position, bit = drawn.randrange(len(content)), 1 << drawn.randrange(8)
        changed = content[:position] + bytes([content[position] ^ bit]) + content[position + 1 :]
    else:
        changed = {
            "cut to half": content[: len(content) // 2],
            "emptied": b"",
            "other bytes": drawn.randbytes(len(content)),
        }[kind]
    path.write_bytes(changed)


@contextmanager
def damaged(path: Path, kind: str, seed: int) -> Iterator[None]:
    """Damage a file for the time of the block, and put the intact one back."""
    kept = path.with_name(f".{path.name}.kept")
    shutil.copy2(path, kept)
    damage(path, kind, seed)
    try:
        yield
    finally:
        if path.is_dir():
            shutil.rmtree(path)
        kept.replace(path)


def snapshot(folder: Path) -> dict[str, tuple[str, int]]:
    """Return hash and time of each file below a folder, by its relative path."""
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in files_below(folder)
    }


def check_untouched(before: dict[str, tuple[str, int]], folder: Path, *may_change: str) -> None:
    """Raise Lost if a file was written or removed whose relative path begins with none of `may_change`."""
    after = snapshot(folder)
    touched = [name for name in before if after.get(name) != before[name] and not name.startswith(may_change)]
    if touched:
        raise Lost(f"{', '.join(sorted(touched))} was intact and was changed")


def is_named(ended: CompletedProcess[str], *names: object) -> bool:
    """Return whether a step failed with one line that has one of the names and a remedy.

    Raises:
        Lost: it failed in another way.
    """
    if ended.returncode == 0:
        return False
    lines = ended.stderr.splitlines()
    if len(lines) != 1 or ";" not in lines[0] or not any(str(name) in lines[0] for name in names):
        raise Lost(f"status {ended.returncode}: {ended.stderr[-2000:]!r}")
    return True


class Tally:
    """The damages of one attack by their ends."""

    def __init__(self) -> None:
        self.ends: Counter[str] = Counter()
        self.lost: list[str] = []
        self._files: set[Path] = set()

    @contextmanager
    def counting(self, path: Path, kind: str, seed: int) -> Iterator[None]:
        """Count a damage that the block tries; the block calls `end`, or raises Lost."""
        self._files.add(path)
        try:
            yield
        except Lost as error:
            self.lost.append(f"{path}, {kind} (seed {seed}): {error}")

    def end(self, how: str) -> None:
        self.ends[how] += 1

    def record(self, record_property: Callable[[str, object], None]) -> None:
        """Record the figures of the page."""
        record_property("times", self.ends.total() + len(self.lost))
        record_property("lost", len(self.lost))
        record_property("files", len(self._files))
        for how, count in sorted(self.ends.items()):
            record_property(how, count)
        assert not self.lost, "\n".join(self.lost)
