"""Fixtures: a predictor as a real process on loopback, and the answers of its SavedModel."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from distml.model import saved_model
from distml.step.volume import Volume
from support.predictor_process import Predictor, predictor
from support.predictor_requests import Ask


@pytest.fixture(scope="session")
def server(published_volume: Volume, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    with predictor(published_volume, tmp_path_factory.mktemp("server") / "log") as running:
        yield running


@pytest.fixture(scope="session")
def saved(published_volume: Volume) -> Ask:
    """Return the published SavedModel as a function from image files or arrays to probabilities."""
    model, _ = saved_model.load(published_volume.version(1))

    def ask(images: Any) -> np.ndarray:
        if isinstance(images, list):
            return model.signatures["serving_default"](image_bytes=tf.constant(images))["probabilities"].numpy()
        return model.signatures["serving_arrays"](images=tf.constant(images))["probabilities"].numpy()

    return ask
