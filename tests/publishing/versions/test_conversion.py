"""The conversion of a SavedModel, and its check before publication."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from distml.model import saved_model
from distml.model.lite_engine import LiteEngine
from distml.model.variants import MODELS
from distml.publishing.versions import conversion, publication
from distml.publishing.versions.version_files import LITE_MODEL
from distml.step import outcome
from distml.step.volume import Volume


def test_a_converted_model_that_disagrees_is_not_published(
    published_volume: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidate = published_volume.candidate("test", "batchnorm", 1)
    saved_model.export(MODELS["plain"](), ["a", "b"], tmp_path / "other")
    lite_model_of_another = conversion.convert(tf.saved_model.load(tmp_path / "other"))
    model, _ = saved_model.load(candidate)
    monkeypatch.setattr(conversion, "convert", lambda model: lite_model_of_another)
    volume = Volume(tmp_path / "volume")
    with pytest.raises(outcome.StepError, match="the converted model's probabilities differ from the SavedModel's by"):
        publication.publish(volume, candidate, {}, 5, partial(conversion.add, model=model, volume=published_volume))
    assert list(volume.versions.iterdir()) == []


def test_the_converted_model_accepts_batches_of_any_size(published_volume: Volume) -> None:
    engine = LiteEngine(published_volume.version(1) / LITE_MODEL)
    images = np.random.default_rng(2).integers(0, 256, (70, 28, 28, 1), np.uint8)
    whole = engine(images)
    assert whole.shape == (70, 10)
    for size in (1, 3, 16, 17, 64, 2):
        np.testing.assert_allclose(engine(images[:size]), whole[:size], atol=1e-5)
