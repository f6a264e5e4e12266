import keras
import numpy as np
import pytest

from model_variants import MODELS


def test_the_table_has_three_models():
    assert list(MODELS) == ["plain", "dropout", "batchnorm"]


@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_its_rows_name_three_convolutions_and_scales_inside(name):
    model = MODELS[name]()
    assert model.name == name
    assert sum(isinstance(layer, keras.layers.Conv2D) for layer in model.layers) == 3
    assert model.layers[0].scale == 1 / 255
    logits = model(np.zeros((2, 28, 28, 1), np.uint8))
    assert (tuple(logits.shape), model.input_dtype) == ((2, 10), "uint8")


def test_the_variants_differ_in_what_they_are_named_for():
    kinds = {name: {type(layer).__name__ for layer in MODELS[name]().layers} for name in MODELS}
    assert "Dropout" not in kinds["plain"] and "BatchNormalization" not in kinds["plain"]
    assert "Dropout" in kinds["dropout"] and "BatchNormalization" not in kinds["dropout"]
    assert "BatchNormalization" in kinds["batchnorm"]
