"""The manifest beside each SavedModel: what the model is, and the hash of every file, so that damage is found."""

import hashlib
import json
from pathlib import Path
from typing import Any

import step
from volume import sha256_of_files, write_json

MANIFEST = "manifest.json"


def write(folder: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """Write `facts` with the hash of each file in `folder`; returns the whole manifest.

    `digest` is one hash over all file hashes: it names the model's content.
    """
    files = {name: sha256 for name, sha256 in sha256_of_files(folder).items() if name != MANIFEST}
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    manifest = {"digest": digest, **facts, "files": files}
    write_json(folder / MANIFEST, manifest)
    return manifest


def verified(folder: Path) -> dict[str, Any]:
    """The manifest of `folder`, after comparing each file with it.

    Raises:
        StepError: there is no manifest, or a file is missing, damaged or not listed.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text())
        expected = manifest["files"]
    except FileNotFoundError:
        raise step.StepError(
            f"{folder} holds no finished model ({MANIFEST} is missing); train or publish again"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise step.StepError(f"{path} is damaged; remove {folder} and train or publish again") from None
    found = {name: sha256 for name, sha256 in sha256_of_files(folder).items() if name != MANIFEST}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            state = "is missing" if name not in found else "is damaged" if name in expected else "does not belong there"
            raise step.StepError(f"{folder / name} {state}; remove {folder} and train or publish again")
    return manifest
