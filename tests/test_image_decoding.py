"""One decoding, two executions: Pillow with numpy, and TensorFlow inside the SavedModel, give the same pixels."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import image_decoding
import saved_model

in_graph = tf.function(saved_model.decode, input_signature=[tf.TensorSpec([], tf.string)])
KINDS = [(mode, "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
KINDS += [(mode, "JPEG") for mode in ("L", "RGB", "CMYK")]


def image_file(mode: str, kind: str, width: int, height: int) -> bytes:
    """A random picture with soft colours in `mode`, as a file."""
    random = np.random.default_rng(width * height)
    soft = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    if mode == "I;16":
        soft = Image.fromarray(random.integers(0, 65536, (height, width)).astype(np.uint16))
    elif mode == "RGBA":
        soft.putalpha(Image.fromarray(random.integers(0, 256, (height, width), np.uint8)))
    else:
        soft = soft.convert(mode)
    file = io.BytesIO()
    soft.save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(("mode", "kind"), KINDS)
@pytest.mark.parametrize(("width", "height"), [(28, 28), (1, 1), (200, 133), (17, 300), (640, 480)])
def test_both_executions_give_the_same_pixels(mode, kind, width, height):
    data = image_file(mode, kind, width, height)
    assert np.array_equal(image_decoding.decode(data), in_graph(data).numpy())


def test_an_image_of_the_data_sets_kind_is_left_as_it_is():
    pixels = np.random.default_rng(1).integers(0, 256, (28, 28), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    assert np.array_equal(image_decoding.decode(file.getvalue())[..., 0], pixels)


def test_what_is_transparent_counts_as_white():
    file = io.BytesIO()
    Image.new("RGBA", (50, 40), (0, 0, 0, 0)).save(file, "PNG")
    assert image_decoding.decode(file.getvalue()).min() == 255
