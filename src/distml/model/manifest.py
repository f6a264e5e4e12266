"""The manifest of a SavedModel: facts about the model, and the hash of every file, which reveals damage."""

import hashlib
import json
from pathlib import Path
from typing import Any

from distml.step import outcome
from distml.step.atomic_files import sha256_of_files, write_json

MANIFEST = "manifest.json"
# The file that signs a published version, manifest included; publishing/versions/signature.py writes it.
SIGNATURE = "model.sig"


def write(folder: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Write `facts` and the hash of each file in `folder`; return the whole manifest.

    `digest`, one hash over the facts and all file hashes, identifies the model and its facts.
    """
    manifest = {**facts, "files": _hashes(folder)}
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
        manifest = json.loads(path.read_text())
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
    expected, found = manifest["files"], _hashes(folder)
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            state = "is missing" if name not in found else "is damaged" if name in expected else "is not listed"
            raise outcome.StepError(f"{folder / name} {state}; remove {folder} and train or publish again")
    if manifest["digest"] != _digest(manifest):
        raise outcome.StepError(
            f"{folder / MANIFEST} is damaged (its content does not match its digest); remove {folder} and train or"
            " publish again"
        )
    return manifest


def _hashes(folder: Path) -> dict[str, str]:
    return {name: sha256 for name, sha256 in sha256_of_files(folder).items() if name not in (MANIFEST, SIGNATURE)}


def _digest(manifest: dict[str, Any]) -> str:
    """Return the SHA-256 of everything else in the manifest, as JSON with sorted keys."""
    rest = {key: value for key, value in manifest.items() if key != "digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()
