"""The table of models: three small CNNs for 28x28 grey images and ten classes.

Each takes uint8 [batch, 28, 28, 1] (0 is black), scales inside the model, and returns float32 logits [batch, 10].
Pooling comes before the ReLU: the result is the same, and there is a quarter of the values to work on.

To add a model: write a builder, add its row to `MODELS`, and its name to `names.MODELS` and to workflow.yaml.
"""

from distml.step.load_tensorflow import tf

from collections.abc import Callable

import keras
from keras import layers

from distml.step import outcome

CLASSES = 10


def plain() -> keras.Sequential:
    """Three convolutions, nothing else: the baseline."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), dtype=tf.uint8, name="image"),
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
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), dtype=tf.uint8, name="image"),
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
    return keras.Sequential(
        [
            keras.Input((28, 28, 1), dtype=tf.uint8, name="image"),
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


def build(name: str) -> keras.Sequential:
    """Build the model of this name, with new weights.

    Raises:
        StepError: the table has no row for it.
    """
    if name not in MODELS:
        raise outcome.StepError(f"model {name} has no builder; add one, and its row, to src/distml/model/variants.py")
    return MODELS[name]()
