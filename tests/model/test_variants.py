import argparse
from typing import Any

import keras
import numpy as np
import pytest

import local_pipeline
import model_selection
import multi_worker_distributed_training as training
from distml.model import names, variants
from distml.model.variants import MODELS
from distml.step import outcome

REQUIRED = ("plain", "dropout", "batchnorm")


def test_each_name_has_a_builder_and_the_required_models_exist() -> None:
    assert tuple(MODELS) == names.MODELS
    assert set(REQUIRED) <= MODELS.keys()


@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_the_name_of_its_row_and_accepts_stored_images(name: Any) -> None:
    model = MODELS[name]()
    logits = model(np.zeros((2, 28, 28, 1), np.uint8))
    assert (model.name, model.input_dtype) == (name, "uint8")
    assert (tuple(logits.shape), logits.dtype) == ((2, 10), "float32")


@pytest.mark.parametrize("name", REQUIRED)
def test_a_required_model_has_three_convolutions_and_scales_its_input(name: str) -> None:
    model = MODELS[name]()
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers) == 3
    assert model.layers[0].scale == 1 / 255


def test_the_command_lines_accept_a_model_added_to_the_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MODELS", (*names.MODELS, "fourth"))
    assert training.parse_args(["--model", "fourth"]).model == ["fourth"]
    assert local_pipeline.parse_args([]).models[-1] == "fourth"
    assert model_selection.parse_args(["--models", "plain,fourth"]).models == ["plain", "fourth"]


@pytest.mark.parametrize(
    ("text", "message"), [("plain other", "unknown model other; choose"), (" ", "no model given; choose")]
)
def test_unknown_or_missing_model_names_are_refused(text: str, message: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        names.models(text)


def test_each_variant_adds_the_layer_in_its_name() -> None:
    kinds = {name: {type(layer).__name__ for layer in MODELS[name]().layers} for name in REQUIRED}
    assert "Dropout" not in kinds["plain"] and "BatchNormalization" not in kinds["plain"]
    assert "Dropout" in kinds["dropout"] and "BatchNormalization" not in kinds["dropout"]
    assert "BatchNormalization" in kinds["batchnorm"]


def test_the_error_for_a_missing_builder_names_the_file_to_change() -> None:
    with pytest.raises(outcome.StepError, match=r"^model wide has no builder; .* src/distml/model/variants.py$"):
        variants.build("wide")
