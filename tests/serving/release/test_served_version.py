"""Refused versions, in addition to those in test_changes_under_load.py."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from distml.model import manifest as model_manifest
from distml.serving.release import served_version
from distml.step import outcome
from distml.step.volume import Volume


@pytest.mark.parametrize("change", [{"edges": [1.0, 2.0]}, {"counts": [1, 2, 3]}, {"sum": None}])
def test_a_version_with_a_wrong_histogram_is_refused(
    published_volume: Volume, tmp_path: Path, change: dict[str, Any]
) -> None:
    folder = shutil.copytree(published_volume.version(1), tmp_path / "1")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["training_intensity"] |= change
    model_manifest.write(folder, {key: value for key, value in manifest.items() if key not in ("digest", "files")})
    with pytest.raises(outcome.StepError, match="its histogram of the training images has wrong edges"):
        served_version.load(folder, 1)


def test_a_version_with_too_few_class_names_is_refused(published_volume: Volume, tmp_path: Path) -> None:
    folder = shutil.copytree(published_volume.version(1), tmp_path / "1")
    facts = json.loads((folder / model_manifest.MANIFEST).read_text())
    model_manifest.write(folder, {**facts, "class_names": facts["class_names"][:9]})
    with pytest.raises(outcome.StepError, match="10 outputs but 9 class names"):
        served_version.load(folder, 1)
