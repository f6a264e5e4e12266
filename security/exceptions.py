"""Findings that the project accepts: security/exceptions.yaml, and what is wrong with it."""

import datetime
import fnmatch
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from environment import ScanError

KEYS = {"check", "objects", "reason", "review-by"}


@dataclass(frozen=True)
class Finding:
    """A failed check of one object: a pod, a role, or a pinned package."""

    check: str
    object: str
    text: str


@dataclass
class Exceptions:
    """The accepted findings of one scanner, and the entries that have accepted something."""

    entries: list[dict[str, Any]]
    used: set[tuple[str, str]] = field(default_factory=set)

    def accept(self, finding: Finding) -> bool:
        """Return True if an entry names the finding's check and object; * stands for any text."""
        patterns = [
            (each["check"], pattern)
            for each in self.entries
            if each["check"] == finding.check
            for pattern in each["objects"]
            if fnmatch.fnmatchcase(finding.object, pattern)
        ]
        self.used.update(patterns)
        return bool(patterns)

    def problems(self, today: datetime.date) -> list[str]:
        """Return a sentence for each entry past its date and for each object that no finding matched."""
        late = [
            f"the exception {each['check']} was to be reviewed by {each['review-by']}: decide again, and move the date"
            for each in self.entries
            if each["review-by"] < today
        ]
        unused = [
            f"the exception {each['check']} for {pattern} matches no finding: remove it"
            for each in self.entries
            for pattern in each["objects"]
            if (each["check"], pattern) not in self.used
        ]
        return late + unused


def read(file: Path, scanner: str) -> Exceptions:
    """Return a scanner's exceptions.

    Raises:
        ScanError: the file cannot be read, or an entry lacks a key or has another one.
    """
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ScanError(f"cannot read {file} ({reason}); expected YAML with a list for each scanner") from None
    entries = content.get(scanner) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise ScanError(f"{file} has no list {scanner}; write `{scanner}: []` if there are no exceptions")
    for number, entry in enumerate(entries, 1):
        if not is_entry(entry):
            raise ScanError(
                f"{file}: entry {number} of {scanner} is not complete; expected check and reason as text, "
                "objects as a list of names, review-by as a date (2027-05-31), and nothing else"
            )
    return Exceptions(entries)


def is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and set(entry) == KEYS
        and all(isinstance(entry[key], str) and entry[key].strip() for key in ("check", "reason"))
        and isinstance(entry["objects"], list)
        and bool(entry["objects"])
        and all(isinstance(each, str) and each for each in entry["objects"])
        and type(entry["review-by"]) is datetime.date
    )
