"""Image decoding by Pillow with numpy, and by TensorFlow in the SavedModel, which give the same pixels."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from distml.model import image_decoding, image_decoding_tf
from support.images import KINDS, image_file, png_file

in_graph = tf.function(image_decoding_tf.decode, input_signature=[tf.TensorSpec([], tf.string)])


@pytest.mark.parametrize(("mode", "kind"), KINDS)
@pytest.mark.parametrize(("width", "height"), [(28, 28), (1, 1), (200, 133), (17, 300), (1500, 400)])
def test_numpy_and_tensorflow_give_the_same_pixels(mode: Any, kind: Any, width: int, height: int) -> None:
    data = image_file(mode, kind, width, height)
    assert np.array_equal(image_decoding.decode(data), in_graph(data).numpy())


def test_a_grey_28x28_image_is_unchanged() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (28, 28), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    assert np.array_equal(image_decoding.decode(file.getvalue())[..., 0], pixels)


def test_transparent_pixels_become_white() -> None:
    file = io.BytesIO()
    Image.new("RGBA", (50, 40), (0, 0, 0, 0)).save(file, "PNG")
    assert image_decoding.decode(file.getvalue()).min() == 255


def packed_png(depth: int, colour: int, transparent: bytes | None) -> bytes:
    """Return a random PNG file of 11x5 samples of `depth` bits; colour 0 is grey, 3 has a palette."""
    random = np.random.default_rng(depth)
    rows = b"".join(b"\0" + random.bytes((11 * depth + 7) // 8) for _ in range(5))
    chunks = [(b"PLTE", random.bytes(3 * 2**depth))] if colour == 3 else []
    chunks += [(b"tRNS", transparent)] if transparent else []
    return png_file((11, 5), depth, colour, 0, *chunks, (b"IDAT", zlib.compress(rows)))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize(("colour", "transparent"), [(0, None), (0, b"\0\1"), (3, None), (3, bytes([0, 128]))])
def test_numpy_and_tensorflow_agree_on_few_bits_and_transparency(depth: int, colour: int, transparent: Any) -> None:
    data = packed_png(depth, colour, transparent)
    assert np.array_equal(image_decoding.decode(data), in_graph(data).numpy())


def test_numpy_and_tensorflow_agree_on_16_bit_grey_and_transparency() -> None:
    pixels = np.random.default_rng(3).integers(0, 3, (20, 20)).astype(np.uint16) * 20_000
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", transparency=20_000)
    assert b"tRNS" in file.getvalue()
    assert np.array_equal(image_decoding.decode(file.getvalue()), in_graph(file.getvalue()).numpy())


def colour_png(depth: int, transparent: int) -> bytes:
    """Return a PNG file of 20x20 RGB samples from 0 to 2, with one transparent colour."""
    pixels = np.random.default_rng(4).integers(0, 3, (20, 20, 3)).astype(">u2" if depth == 16 else "u1")
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    colour = struct.pack(">HHH", *[transparent] * 3)
    return png_file((20, 20), depth, 2, 0, (b"tRNS", colour), (b"IDAT", zlib.compress(rows)))


def test_numpy_and_tensorflow_agree_on_a_transparent_colour() -> None:
    data = colour_png(8, 1)
    assert np.array_equal(image_decoding.decode(data), in_graph(data).numpy())


def test_16_bit_rgb_with_a_transparent_colour_is_refused() -> None:
    with pytest.raises(image_decoding.Refused, match="16-bit RGB with a transparent colour is not supported"):
        image_decoding.decode(colour_png(16, 1))


def interlaced_png() -> bytes:
    """Return a random PNG file of 37x41 RGB samples in the seven passes of Adam7."""
    pixels = np.random.default_rng(5).integers(0, 256, (41, 37, 3), np.uint8)
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    rows = [row for top, left, down, right in passes for row in pixels[top::down, left::right]]
    return png_file((37, 41), 8, 2, 1, (b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))))


def jpeg_file(mode: str, **options: object) -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(image_file("RGB", "PNG", 60, 40))).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


def upside_down_jpeg() -> bytes:
    orientation = Image.Exif()
    orientation[0x0112] = 3
    return jpeg_file("RGB", exif=orientation)


# Pillow writes Adobe's marker into a CMYK file, as the 16 bytes after the first two; its last byte is 2 for YCCK.
CMYK = jpeg_file("CMYK")
RARE_FILES = {
    "interlaced PNG": interlaced_png(),
    "progressive JPEG": jpeg_file("RGB", progressive=True),
    "rotated by EXIF": upside_down_jpeg(),
    "YCCK": CMYK[:17] + b"\2" + CMYK[18:],
    "CMYK without Adobe's marker": CMYK[:2] + CMYK[18:],
}


@pytest.mark.parametrize("kind", RARE_FILES)
def test_numpy_and_tensorflow_agree_on_rare_kinds_of_file(kind: str) -> None:
    assert CMYK[2:4] == b"\xff\xee"
    assert np.array_equal(image_decoding.decode(RARE_FILES[kind]), in_graph(RARE_FILES[kind]).numpy())


def test_a_file_that_is_slow_to_decode_is_refused() -> None:
    progressive = RARE_FILES["progressive JPEG"]
    last_scan = progressive[progressive.rindex(b"\xff\xda") : -2]
    with pytest.raises(image_decoding.Refused, match="more than 64 scans"):
        image_decoding.decode(progressive[:-2] + last_scan * 64 + progressive[-2:])
    profile = (b"iCCP", b"a\0\0" + zlib.compress(bytes(100)))
    with pytest.raises(image_decoding.Refused, match="more than one colour profile"):
        image_decoding.decode(png_file((1, 1), 8, 0, 0, profile, profile, (b"IDAT", zlib.compress(b"\0\0"))))


def test_a_png_file_with_too_much_text_is_refused() -> None:
    text = (b"zTXt", b"a\0\0" + zlib.compress(bytes(2**20 - 1)))
    pixels = (b"IDAT", zlib.compress(b"\0\0"))
    assert image_decoding.decode(png_file((1, 1), 8, 0, 0, text, pixels)).shape == (28, 28, 1)
    with pytest.raises(ValueError, match="Too much memory used in text chunks"):
        image_decoding.decode(png_file((1, 1), 8, 0, 0, *[text] * 3, pixels))


def test_the_size_callback_is_called_before_pixels_are_decoded() -> None:
    sizes = []

    def refuse(width: int, height: int) -> None:
        sizes.append((width, height))
        raise ValueError("too large")

    with pytest.raises(ValueError, match="too large"):
        image_decoding.decode(image_file("L", "PNG", 70, 50), refuse)
    assert sizes == [(70, 50)]
