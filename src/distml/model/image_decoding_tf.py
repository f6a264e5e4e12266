"""The definition in `image_decoding` as TensorFlow operations, for the SavedModel."""

from distml.step.load_tensorflow import tf

from distml.model import image_decoding
from distml.model.image_decoding import SIZE

tnp = tf.experimental.numpy


def decode(data: tf.Tensor) -> tf.Tensor:
    """Decode a JPEG or PNG file, string [], into uint8 [28, 28, 1]."""
    rgba = tf.cond(tf.io.is_jpeg(data), lambda: _jpeg_rgba(data), lambda: _png_rgba(data))
    return tf.ensure_shape(image_decoding.grey_28(rgba, tf.shape(rgba), tnp, tf.range), [SIZE, SIZE, 1])


def _jpeg_rgba(data: tf.Tensor) -> tf.Tensor:
    rgb = tf.io.decode_jpeg(data, channels=3, fancy_upscaling=True, dct_method="INTEGER_ACCURATE")
    return tf.concat([rgb, tf.fill([*tf.unstack(tf.shape(rgb)[:2]), 1], tf.constant(255, tf.uint8))], axis=2)


def _png_rgba(data: tf.Tensor) -> tf.Tensor:
    # If samples have fewer than 8 bits and no tRNS chunk marks transparency, TensorFlow fills alpha with their
    # maximum (1, 3 or 15) instead of 255. Byte 24 of the file is the bit depth; tRNS comes before IDAT.
    rgba = tf.io.decode_png(data, channels=4)
    depth = tf.io.decode_raw(tf.strings.substr(data, 24, 1), tf.uint8)[0]
    chunks_before_pixels = tf.strings.split(data, "IDAT", maxsplit=1)[0]
    opaque = tf.logical_and(depth < 8, tf.logical_not(tf.strings.regex_full_match(chunks_before_pixels, r"\C*tRNS\C*")))
    return tf.concat([rgba[..., :3], tf.where(opaque, tf.constant(255, tf.uint8), rgba[..., 3:])], axis=2)
