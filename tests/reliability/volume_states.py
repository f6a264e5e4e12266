"""A volume as its readers see it: every visible part verified, and a state that two equal pipelines share."""

import json
from pathlib import Path
from typing import Any

from distml.data import fashion_mnist
from distml.model import manifest
from distml.publishing.versions import folders, history_table, signature
from distml.publishing.versions.history import History
from distml.step.atomic_files import sha256_of_file
from distml.step.volume import Volume

# The place in "versions" that says whether the table for people agrees with the history.
TABLE = 4
WEIGHTS = "variables/variables.data-00000-of-00001"


def state(volume: Volume, public_key: Path | None = None) -> dict[str, Any]:
    """Return everything that a run leaves, without times, random names and numbers of versions.

    Raises:
        StepError, OSError, AssertionError: a part that readers see is half-written, damaged or not signed.
    """
    return {
        "data": _data(volume),
        "candidates": {path.name: _model(path) for path in sorted(volume.runs.glob("*/candidates/[!.]*"))},
        "checkpoints": sorted(path.name for path in volume.runs.glob("*/checkpoints/*/[!.]*")),
        "failures": sorted(path.name for path in volume.runs.glob("*/failures/*.json")),
        "versions": _versions(volume, public_key),
        "reports": [_report(path) for path in sorted(volume.root.glob("**/report/")) if not _hidden(volume, path)],
    }


def versions(volume: Volume) -> dict[int, str]:
    """Return the digest of each version, withdrawn or not, after checking its files."""
    places = (volume.versions, volume.versions / folders.WITHDRAWN)
    found = ((number, place / str(number)) for place in places for number in folders.numbers(place))
    return {number: manifest.verified(folder)["digest"] for number, folder in found}


def _hidden(volume: Volume, path: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(volume.root).parts)


def _data(volume: Volume) -> Any:
    if not volume.dataset.exists():
        return None
    # The hash of the images and labels: the files of two ingestions differ, since the order in which a record names its
    # fields depends on where the process was loaded in memory.
    return fashion_mnist.verified_manifest(volume)["data_sha256"], sorted(
        str(path.relative_to(volume.dataset)) for path in volume.dataset.rglob("*")
    )


def _model(folder: Path) -> tuple[str, list[str]]:
    """Return the hash of a model's weights and the names of its files, after checking all of them."""
    files = sorted(manifest.verified(folder)["files"])
    weights = folder / WEIGHTS
    return sha256_of_file(weights if weights.exists() else folder / files[0]), files


def _versions(volume: Volume, public_key: Path | None) -> Any:
    if not volume.versions.exists():
        return None
    reader = History(volume.versions)
    found = reader.state()
    offered = folders.offered(volume.versions, found)
    models = [(_model(volume.version(number)), number == found.released) for number in offered]
    for number in offered:
        if public_key and (volume.version(number) / manifest.SIGNATURE).exists():
            signature.verify(volume.version(number), public_key)
    away = folders.numbers(volume.versions / folders.WITHDRAWN)
    events = [str(record.event) for record in reader.records()]
    agrees = volume.history.exists() and volume.history.read_text() == history_table.render(
        reader.records(), found, away
    )
    return models, len(away), len(found.withdrawn), events, agrees


def _report(folder: Path) -> Any:
    content = json.loads((folder / "report.json").read_text())
    assert (folder / "index.html").read_text().rstrip().endswith("</html>")
    return [content[name] for name in ("winner", "validation_accuracy", "test_accuracy", "confusion_matrix")]
