"""The table of models: three small CNNs for 28x28 grey images and ten classes.

Each takes uint8 [batch, 28, 28, 1] (0 is black), scales inside the model, and returns float32 logits [batch, 10].
Pooling comes before the ReLU: the result is the same, and there is a quarter of the values to work on.

To add a model: write a builder, add its row to `MODELS`, and name it in workflow.yaml. The builders import Keras, which
takes seconds, so that whatever needs the names alone starts at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

CLASSES = 10


def plain() -> keras.Sequential:
    """Three convolutions, nothing else: the baseline."""
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input((28, 28, 1), dtype="uint8", name="image"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(32, 3, padding="same"),
            layers.MaxPooling2D(),
            layers.ReLU(),
            layers.Conv2D(64, 3, padding="same"),
            layers.MaxPooling2D(),
            layers.ReLU(),
            layers.Conv2D(64, 3, padding="same"),
            layers.MaxPooling2D(),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(CLASSES),
        ],
        name="plain",
    )


def dropout() -> keras.Sequential:
    """The baseline with dropout before the classifier (Srivastava et al. 2014)."""
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input((28, 28, 1), dtype="uint8", name="image"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(32, 3, padding="same"),
            layers.MaxPooling2D(),
            layers.ReLU(),
            layers.Conv2D(64, 3, padding="same"),
            layers.MaxPooling2D(),
            layers.ReLU(),
            layers.Conv2D(64, 3, padding="same"),
            layers.MaxPooling2D(),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(CLASSES),
        ],
        name="dropout",
    )


def batchnorm() -> keras.Sequential:
    """The baseline with batch normalisation after each convolution (Ioffe and Szegedy 2015).

    Momentum 0.9: Keras' 0.99 still remembers the initial statistics after a short epoch.
    """
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input((28, 28, 1), dtype="uint8", name="image"),
            layers.Rescaling(1 / 255),
            layers.Conv2D(32, 3, padding="same", use_bias=False),
            layers.MaxPooling2D(),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.Conv2D(64, 3, padding="same", use_bias=False),
            layers.MaxPooling2D(),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.Conv2D(64, 3, padding="same", use_bias=False),
            layers.MaxPooling2D(),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(CLASSES),
        ],
        name="batchnorm",
    )


MODELS: dict[str, Callable[[], keras.Sequential]] = {
    "plain": plain,
    "dropout": dropout,
    "batchnorm": batchnorm,
}


def models(text: str) -> list[str]:
    """An argparse type: names of rows of the table, separated by commas or blanks, each once."""
    names = list(dict.fromkeys(text.replace(",", " ").split()))
    unknown = sorted(set(names) - MODELS.keys())
    if unknown or not names:
        raise argparse.ArgumentTypeError(
            f"unknown model {', '.join(unknown) or '(none given)'}; choose from {', '.join(MODELS)}"
        )
    return names
