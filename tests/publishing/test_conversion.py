"""The converted model is checked against the SavedModel before anything is published."""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from distml.model import manifest as model_manifest
from distml.model import saved_model
from distml.model.lite_engine import LiteEngine
from distml.model.variants import MODELS
from distml.publishing import conversion, versions
from distml.publishing.version_files import LITE_MODEL
from distml.serving.release import served_version
from distml.step import outcome
from distml.step.volume import Volume


def test_a_converted_model_that_disagrees_is_not_published(
    published_volume: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = published_volume.candidate("test", "batchnorm")
    saved_model.export(MODELS["plain"](), ["a", "b"], tmp_path / "other")
    of_another = conversion.converted(tf.saved_model.load(tmp_path / "other"))
    model, _ = saved_model.load(candidate)
    monkeypatch.setattr(conversion, "converted", lambda model: of_another)
    volume = Volume(tmp_path / "volume")
    with pytest.raises(outcome.StepError, match="the converted model's probabilities differ from the SavedModel's by"):
        versions.publish(volume, candidate, {}, 5, partial(conversion.add, model=model, volume=published_volume))
    assert list(volume.versions.iterdir()) == []


@pytest.mark.parametrize("change", [{"edges": [1.0, 2.0]}, {"counts": [1, 2, 3]}, {"sum": None}])
def test_a_version_whose_histogram_cannot_be_shown_is_refused(
    published_volume: Volume, tmp_path: Path, change: dict[str, Any]
) -> None:
    folder = shutil.copytree(published_volume.version(1), tmp_path / "1")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["training_intensity"] |= change
    model_manifest.write(folder, {key: value for key, value in manifest.items() if key not in ("digest", "files")})
    with pytest.raises(outcome.StepError, match="its histogram of the training images has other edges"):
        served_version.load(folder, 1)


def test_the_converted_model_takes_any_number_of_images_in_turn(published_volume: Volume) -> None:
    engine = LiteEngine(published_volume.version(1) / LITE_MODEL)
    images = np.random.default_rng(2).integers(0, 256, (70, 28, 28, 1), np.uint8)
    whole = engine(images)
    assert whole.shape == (70, 10)
    for size in (1, 3, 16, 17, 64, 2):
        np.testing.assert_allclose(engine(images[:size]), whole[:size], atol=1e-5)
