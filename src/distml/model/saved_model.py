"""A trained model as a SavedModel that TensorFlow Serving serves as it is."""

from distml.step.load_tensorflow import tf

from pathlib import Path
from typing import Any

import keras

from distml.model import image_decoding
from distml.model import manifest as model_manifest
from distml.model.image_decoding import SIZE

tnp = tf.experimental.numpy


class ServedModel(tf.Module):
    """A trained network with the two ways to ask it.

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
        images = tf.map_fn(decode, image_bytes, fn_output_signature=tf.TensorSpec([SIZE, SIZE, 1], tf.uint8))
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


def decode(data: tf.Tensor) -> tf.Tensor:
    """`image_decoding`'s definition in TensorFlow: string [] to uint8 [28, 28, 1]."""

    def jpeg() -> tf.Tensor:
        rgb = tf.io.decode_jpeg(data, channels=3, fancy_upscaling=True, dct_method="INTEGER_ACCURATE")
        return tf.concat([rgb, tf.fill([*tf.unstack(tf.shape(rgb)[:2]), 1], tf.constant(255, tf.uint8))], axis=2)

    def png() -> tf.Tensor:
        # Where samples have less than 8 bits and no tRNS chunk says what is transparent, TensorFlow fills alpha with
        # their maximum (1, 3 or 15) in place of 255. The header's byte 24 is the bit depth; tRNS stands before IDAT.
        rgba = tf.io.decode_png(data, channels=4)
        depth = tf.io.decode_raw(tf.strings.substr(data, 24, 1), tf.uint8)[0]
        chunks_before_pixels = tf.strings.split(data, "IDAT", maxsplit=1)[0]
        opaque = tf.logical_and(
            depth < 8, tf.logical_not(tf.strings.regex_full_match(chunks_before_pixels, r"\C*tRNS\C*"))
        )
        return tf.concat([rgba[..., :3], tf.where(opaque, tf.constant(255, tf.uint8), rgba[..., 3:])], axis=2)

    rgba = tf.cond(tf.io.is_jpeg(data), jpeg, png)
    return tf.ensure_shape(image_decoding.grey_28(rgba, tf.shape(rgba), tnp, tf.range), [SIZE, SIZE, 1])


def export(network: keras.Model, class_names: list[str], folder: Path) -> None:
    """Write the SavedModel of `network`, which must not live under a distribution strategy, into `folder`."""
    model = ServedModel(network, class_names)
    tf.saved_model.save(
        model, folder, signatures={"serving_default": model.from_files, "serving_arrays": model.from_arrays}
    )


def load(folder: Path) -> tuple[Any, dict[str, Any]]:
    """Verify `folder` and load its SavedModel; returns the loaded model (`signatures` inside) and the manifest."""
    manifest = model_manifest.verified(folder)
    return tf.saved_model.load(folder), manifest
