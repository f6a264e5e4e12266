"""The manifest of a SavedModel: facts about the model, and the hash of every file, which reveals damage."""

import hashlib
import json
from pathlib import Path
from typing import Any

from distml.step import outcome
from distml.step.atomic_files import sha256_of_file, write_json
from distml.step.volume import read_small

MANIFEST = "manifest.json"
# The file that signs a published version, manifest included; publishing/versions/signature.py writes it.
SIGNATURE = "model.sig"


def write(folder: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Write `facts` and the hash of each file in `folder`; return the whole manifest.

    `digest`, one hash over the facts and all file hashes, identifies the model and its facts.
    """
    manifest = {**facts, "files": {name: sha256_of_file(folder / name) for name in sorted(_names(folder))}}
    manifest["digest"] = _digest(manifest)
    write_json(folder / MANIFEST, manifest)
    return manifest


def read(folder: Path) -> dict[str, Any]:
    """Return the manifest of `folder` without checking the files against it.

    Raises:
        StepError: the manifest is missing or malformed.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(read_small(path))
    except (FileNotFoundError, NotADirectoryError):
        raise outcome.StepError(
            f"{folder} has no finished model ({MANIFEST} is missing); train or publish again"
        ) from None
    except (ValueError, RecursionError):  # such as an endless list in a list
        manifest = None
    if not (isinstance(manifest, dict) and isinstance(manifest.get("files"), dict) and "digest" in manifest):
        raise outcome.StepError(f"{path} is damaged; remove {folder} and train or publish again")
    return manifest


def verified(folder: Path) -> dict[str, Any]:
    """Return the manifest of `folder` after checking each file's hash and the digest.

    Raises:
        StepError: the manifest is missing, a file is missing, damaged or not listed, or a fact was changed.
    """
    manifest = read(folder)
    expected, found = manifest["files"], _names(folder)
    # The names first: a file that does not belong here may have any size, and is not read.
    wrong = {name: "is missing" if name in expected else "is not listed" for name in expected.keys() ^ found}
    damaged = (name for name in sorted(found) if sha256_of_file(folder / name) != expected[name])
    for name in sorted(wrong) or damaged:
        state = wrong.get(name, "is damaged")
        raise outcome.StepError(f"{folder / name} {state}; remove {folder} and train or publish again")
    try:
        intact = manifest["digest"] == _digest(manifest)
    except RecursionError:
        intact = False
    if not intact:
        raise outcome.StepError(
            f"{folder / MANIFEST} is damaged (its content does not match its digest); remove {folder} and train or"
            " publish again"
        )
    return manifest


def _names(folder: Path) -> set[str]:
    """Return the relative POSIX paths of the files below `folder` that a manifest lists: all but the hidden ones."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix() for path in files} - {MANIFEST, SIGNATURE}


def _digest(manifest: dict[str, Any]) -> str:
    """Return the SHA-256 of everything else in the manifest, as JSON with sorted keys."""
    rest = {key: value for key, value in manifest.items() if key != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
