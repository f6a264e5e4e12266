"""A trained network as a SavedModel that TensorFlow Serving serves unchanged."""

from distml.step.load_tensorflow import tf

from pathlib import Path
from typing import Any

import keras

from distml.model import image_decoding_tf
from distml.model import manifest as model_manifest
from distml.model.image_decoding import SIZE


class ServedModel(tf.Module):
    """A trained network with two signatures.

    `serving_default`: image_bytes, string [n], each a JPEG or PNG file of any size.
    `serving_arrays`: images, uint8 [n, 28, 28, 1], 0 is black.

    Both return probabilities float32 [n, 10], class_index int64 [n] and class_name string [n].
    """

    def __init__(self, network: keras.Model, class_names: list[str]):
        super().__init__()
        self.network = network
        self.class_names = tf.constant(class_names)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def from_files(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        images = tf.map_fn(
            image_decoding_tf.decode, image_bytes, fn_output_signature=tf.TensorSpec([SIZE, SIZE, 1], tf.uint8)
        )
        return self.from_arrays(images)

    @tf.function(input_signature=[tf.TensorSpec([None, SIZE, SIZE, 1], tf.uint8, name="images")])
    def from_arrays(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = tf.nn.softmax(self.network(images, training=False))
        index = tf.argmax(probabilities, axis=1)
        return {
            "probabilities": probabilities,
            "class_index": index,
            "class_name": tf.gather(self.class_names, index),
        }


def export(network: keras.Model, class_names: list[str], folder: Path) -> None:
    """Write the SavedModel of `network`, built outside any distribution strategy, into `folder`."""
    model = ServedModel(network, class_names)
    tf.saved_model.save(
        model, folder, signatures={"serving_default": model.from_files, "serving_arrays": model.from_arrays}
    )


def load(folder: Path) -> tuple[Any, dict[str, Any]]:
    """Verify `folder` and load its SavedModel; return the model, with its `signatures`, and the manifest."""
    manifest = model_manifest.verified(folder)
    return tf.saved_model.load(folder), manifest
