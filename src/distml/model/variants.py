"""The table of models: three small CNNs for 28x28 grey images and ten classes.

Each accepts uint8 [batch, 28, 28, 1] (0 is black), scales inside the model, and returns logits [batch, 10]. The
logits are float32 in either precision, because the classifier names its type. Max pooling comes before the ReLU: the
two commute, and the ReLU computes a quarter of the values.

To add a model: write a builder, add it to `MODELS`, and add its name to `names.MODELS` and workflow.yaml.
"""

from distml.step.load_tensorflow import tf

from collections.abc import Callable

import keras
from keras import layers

from distml.step import outcome

CLASSES = 10


def plain() -> keras.Sequential:
    """Return the baseline: three convolutions and a classifier."""
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
            layers.Dense(CLASSES, dtype="float32"),
        ],
        name="plain",
    )


def dropout() -> keras.Sequential:
    """Return the baseline with dropout before the classifier (Srivastava et al. 2014)."""
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
            layers.Dense(CLASSES, dtype="float32"),
        ],
        name="dropout",
    )


def batchnorm() -> keras.Sequential:
    """Return the baseline with batch normalisation after each convolution (Ioffe and Szegedy 2015).

    The momentum is 0.9: with the default, 0.99, the initial statistics still matter after a short epoch.
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
            layers.Dense(CLASSES, dtype="float32"),
        ],
        name="batchnorm",
    )


MODELS: dict[str, Callable[[], keras.Sequential]] = {
    "plain": plain,
    "dropout": dropout,
    "batchnorm": batchnorm,
}


def build(name: str, precision: str = "float32") -> keras.Sequential:
    """Build the model called `name`, with new weights.

    Args:
        name: a key of `MODELS`.
        precision: of convolutions and activations, "float32" or "bfloat16"; the weights are float32.

    Raises:
        StepError: `MODELS` has no such name.
    """
    if name not in MODELS:
        raise outcome.StepError(f"model {name} has no builder; add one to MODELS in src/distml/model/variants.py")
    keras.config.set_dtype_policy("float32" if precision == "float32" else f"mixed_{precision}")
    try:
        return MODELS[name]()
    finally:
        keras.config.set_dtype_policy("float32")
