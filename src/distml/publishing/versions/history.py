"""The history of the published versions: one file per decision, numbered, and never changed.

The history decides which version is released and which are withdrawn; `fold` computes both. A decision is one file,
which only one process can create. It holds from that moment, also for a predictor that reads the folder, and a process
that is killed leaves either the whole decision or none.
"""

import contextlib
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from distml.step import atomic_files
from distml.step.atomic_files import create_json, make_folder, write_text
from distml.step.volume import read_created_json, read_small

# Among the facts, so that older releases read the record; theirs have none.
CHECKSUM = "checksum"
# Folder beside the versions. Servers ignore it: its name is not a number.
FOLDER = ".history"
# File among the records with the number of the last one, twice. Otherwise nobody would miss the last record.
LAST = ".last"


class Event(StrEnum):
    """The kinds of decisions: `rejected` is a predictor's, by its guard; `withdrawn` is an administrator's."""

    PUBLISHED = "published"
    RELEASED = "released"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    ROLLED_BACK = "rolled back"


@dataclass(frozen=True)
class Record:
    """A decision about a version.

    Attributes:
        sequence: the record's place in the history, from 1.
        event: the kind of decision.
        version: number of the version; for a roll-back, the version that is released again.
        time: when it was made, UTC, ISO 8601.
        reason: a sentence, or "".
        facts: for a publication the version's `run`, `model`, `seed`, `digest`, `candidate_digest`, `data_sha256`,
            `validation_accuracy`, `test_accuracy` and `published`, a time, as far as known; for a roll-back
            `withdrawn`, a list of numbers.
    """

    sequence: int
    event: Event
    version: int
    time: str
    reason: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """The result of all decisions so far.

    Attributes:
        published: the record of each version's publication, by number.
        withdrawn: the record that withdrew a version, by number; rejected versions included.
        released: the version that a starting predictor trusts; None if no decision names one.
        sequence: number of the last record, readable or not; 0 for an empty history.
        released_before: the version that is trusted again if `released` is withdrawn; None if no decision names one.
    """

    published: dict[int, Record]
    withdrawn: dict[int, Record]
    released: int | None
    sequence: int
    released_before: int | None = None


class History:
    """The history of one folder of versions. It reads each record once, since records never change.

    If a record is gone, the volume was emptied for another start, and all are read again.
    """

    def __init__(self, versions: Path):
        self._folder = versions / FOLDER
        self._records: dict[int, Record] = {}
        # Records that stayed incomplete while this object waited for them.
        self._given_up: set[int] = set()
        # Time and size of the first record, by which another history is noticed.
        self._first: tuple[int, int] | None = None

    def records(self, wait: bool = False) -> list[Record]:
        """Return the readable records in order.

        A record that is incomplete or damaged is left out: a process may be writing it, or was killed while it did on
        a volume without hard links, and then it never decided. With `wait`, an incomplete record gets time to complete.

        Raises:
            OSError: the folder or a record cannot be read, so a withdrawn version cannot be told from a good one.
        """
        self._forget_another_history()
        for sequence in self._sequences():
            if sequence not in self._records:
                waits = wait and sequence not in self._given_up
                record = _read(self._path(sequence), sequence, atomic_files.SECONDS_TO_WRITE if waits else 0)
                if record:
                    self._records[sequence] = record
                elif waits:
                    self._given_up.add(sequence)
        return [self._records[sequence] for sequence in sorted(self._records)]

    def state(self, wait: bool = False) -> State:
        """Return the result of the records; see `records`."""
        last = self._last()
        return fold(self.records(wait), last)

    def _forget_another_history(self) -> None:
        """Forget the records if the volume was cleared, as by `make run FRESH=1`, and has a new first record."""
        try:
            status = self._path(1).stat()
            first = status.st_mtime_ns, status.st_size
        except FileNotFoundError:
            first = None
        if first != self._first:
            self._records, self._given_up, self._first = {}, set(), first

    def _path(self, sequence: int) -> Path:
        return self._folder / f"{sequence:06d}.json"

    def _sequences(self) -> list[int]:
        """Return the numbers of the records, ascending; ignore other files."""
        try:
            names = {path.name for path in self._folder.iterdir()}
        except FileNotFoundError:
            return []
        found = {int(name[:-5]) for name in names if re.fullmatch(r"[0-9]{6,}\.json", name)}
        return sorted(sequence for sequence in found if self._path(sequence).name in names)

    def _last(self) -> int:
        return max(self._noted(), *self._sequences(), 0)

    def _noted(self) -> int:
        """Return the number of the last record as noted beside the records; 0 without a readable note."""
        with contextlib.suppress(OSError, ValueError):
            number, again = map(int, read_small(self._folder / LAST).split())
            return number if number == again else 0
        return 0

    def append(
        self, event: Event, version: int, reason: str = "", *, after: int | None = None, **facts: Any
    ) -> Record | None:
        """Add a decision; None if `after` is given and another decision has followed the record of that number.

        The caller that gets None reads the state again, and decides again.
        """
        make_folder(self._folder)
        while True:
            last = self._last()
            if after is not None and last != after:
                return None
            time = datetime.now(UTC).isoformat(timespec="seconds")
            record = Record(last + 1, event, version, time, reason, facts)
            try:
                create_json(self._path(record.sequence), with_checksum(asdict(record)))
            except FileExistsError:
                continue
            with contextlib.suppress(OSError):  # the decision holds without the note
                write_text(self._folder / LAST, f"{record.sequence} {record.sequence}\n")
            return record


def fold(records: Iterable[Record], last: int) -> State:
    """Compute the state from the records, in order; `last` is the number of the last one.

    Withdrawing the released version releases the one before it.
    """
    published: dict[int, Record] = {}
    withdrawn: dict[int, Record] = {}
    released: list[int] = []
    for record in records:
        match record.event:
            case Event.PUBLISHED:
                published[record.version] = record
            case Event.RELEASED:
                withdrawn.pop(record.version, None)
                released.append(record.version)
            case Event.REJECTED | Event.WITHDRAWN:
                withdrawn[record.version] = record
            case Event.ROLLED_BACK:
                withdrawn.pop(record.version, None)
                withdrawn |= dict.fromkeys(record.facts["withdrawn"], record)
                released.append(record.version)
    # Each once, by its last release, the newest first.
    trusted = [number for number in dict.fromkeys(reversed(released)) if number not in withdrawn]
    current, before, *_ = [*trusted, None, None]
    return State(published, withdrawn, current, last, before)


def describe(record: Record) -> str:
    """Return how, when and why a record withdrew a version, as in "rejected at 2026-11-27T03:00:00+00:00: slow"."""
    how = "withdrawn by a roll-back" if record.event is Event.ROLLED_BACK else str(record.event)
    return f"{how} at {record.time}" + (f": {record.reason}" if record.reason else "")


def with_checksum(content: dict[str, Any]) -> dict[str, Any]:
    """Return a record's content with its checksum, by which a changed digit is noticed."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return {**content, "facts": {**content["facts"], CHECKSUM: digest}}


def _read(path: Path, sequence: int, seconds: float) -> Record | None:
    try:
        found = read_created_json(path, seconds)
        content = {**found, "facts": {name: fact for name, fact in found["facts"].items() if name != CHECKSUM}}
        if CHECKSUM in found["facts"] and found != with_checksum(content):
            return None
        record = Record(**{**content, "event": Event(content["event"])})
        types = [type(part) for part in (record.version, record.time, record.reason, record.facts)]
        valid = record.sequence == sequence and types == [int, str, str, dict]
        if record.event is Event.ROLLED_BACK:
            valid = valid and all(type(number) is int for number in record.facts["withdrawn"])
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return record if valid else None
