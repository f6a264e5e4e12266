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

PROMISED = ("plain", "dropout", "batchnorm")


def test_the_table_has_a_builder_for_each_name_and_all_that_are_promised() -> None:
    assert tuple(MODELS) == names.MODELS
    assert set(PROMISED) <= MODELS.keys()


@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_its_rows_name_and_takes_images_as_they_are_stored(name: Any) -> None:
    model = MODELS[name]()
    logits = model(np.zeros((2, 28, 28, 1), np.uint8))
    assert (model.name, model.input_dtype) == (name, "uint8")
    assert (tuple(logits.shape), logits.dtype) == ((2, 10), "float32")


@pytest.mark.parametrize("name", PROMISED)
def test_a_promised_model_has_three_convolutions_and_scales_inside(name: str) -> None:
    model = MODELS[name]()
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers) == 3
    assert model.layers[0].scale == 1 / 255


def test_a_fourth_name_is_all_that_the_command_lines_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "MODELS", (*names.MODELS, "fourth"))
    assert training.parse_args(["--model", "fourth"]).model == ["fourth"]
    assert local_pipeline.parse_args([]).models[-1] == "fourth"
    assert model_selection.parse_args(["--models", "plain,fourth"]).models == ["plain", "fourth"]


@pytest.mark.parametrize(("text", "said"), [("plain other", "unknown model other; choose"), (" ", "none given")])
def test_models_that_are_not_in_the_table_are_refused(text: str, said: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=said):
        names.models(text)


def test_the_variants_differ_in_what_they_are_named_for() -> None:
    kinds = {name: {type(layer).__name__ for layer in MODELS[name]().layers} for name in PROMISED}
    assert "Dropout" not in kinds["plain"] and "BatchNormalization" not in kinds["plain"]
    assert "Dropout" in kinds["dropout"] and "BatchNormalization" not in kinds["dropout"]
    assert "BatchNormalization" in kinds["batchnorm"]


def test_a_model_without_a_builder_is_one_line_that_names_the_file() -> None:
    with pytest.raises(outcome.StepError, match=r"^model wide has no builder; .* src/distml/model/variants.py$"):
        variants.build("wide")
