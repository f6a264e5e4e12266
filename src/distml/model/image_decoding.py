"""From an image file to what the models take: uint8 [28, 28, 1]. One definition, for numpy and for TensorFlow.

1. Decode: JPEG with the accurate integer DCT and smooth chroma upsampling; PNG to 8 bits per channel with alpha.
2. Alpha over white.
3. Grey by ITU-R BT.601 luma, 299 R + 587 G + 114 B over 1000, in integers, rounded.
4. Resize to 28x28 with a triangle filter that widens with the reduction, pixel centres aligned, sides independent.

The filter's weights are whole multiples of 2^-20 and the sums stay below 2^53, so float64 holds every intermediate
value exactly, in whatever order a library adds: both executions, this one and `image_decoding_tf`, give the same
pixels. Few files are read by TensorFlow alone: those that take too long (`Refused`), and 16-bit RGB with a transparent
colour, of which Pillow keeps half.
"""

import io
from collections.abc import Callable
from functools import lru_cache
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image, ImageChops, PngImagePlugin

SIZE = 28
FORMATS = ("JPEG", "PNG")
_UNIT = 2.0**20
# Pixels that are worked on at once, so that a large image costs little more memory than its file's content.
_STRIP = 2**18
# What the text in one PNG file may take; Pillow would unpack 64 MiB of it from a few KiB.
MAX_TEXT_BYTES = 2**21
PngImagePlugin.MAX_TEXT_MEMORY = MAX_TEXT_BYTES
# A progressive JPEG has 10 scans or so; each costs a pass over all its pixels.
MAX_SCANS = 64
_JPEG, _START_OF_SCAN = b"\xff\xd8", b"\xff\xda"
# PNG's grey samples of less than 8 bits, and what they are multiplied with.
_PACKED_GREY = {"L;2": 85, "L;4": 17}


class Refused(ValueError):
    """A file of a kind that is not decoded here; the message is one sentence for its sender."""


def decode(data: bytes, allow: Callable[[int, int], None] = lambda width, height: None) -> np.ndarray:
    """Decode a JPEG or PNG file into uint8 [28, 28, 1].

    Args:
        data: the file's content.
        allow: is told width and height as the header has them, before memory is spent on pixels; it may raise.

    Raises:
        Refused: it would take too long, or Pillow would read less than is in it.
        OSError: Pillow cannot read the file (`PIL.UnidentifiedImageError` when it is no JPEG or PNG). A damaged file
            can raise other exceptions too.
    """
    _check_effort(data)
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        width, height = image.size
        allow(width, height)
        transparency = image.info.get("transparency")
        if str(image.tile[0].args) == "RGB;16B" and transparency is not None:
            raise Refused("a PNG with 16 bits per channel and a transparent colour is not read; save it with alpha")
        if image.mode == "L" and transparency is not None:
            # Pillow compares it with the samples after it widened them.
            image.info["transparency"] = transparency * _PACKED_GREY.get(str(image.tile[0].args), 1)
        image.load()
        if (width, height) == (SIZE, SIZE):  # step 4 would give back what it takes
            return _numpy_grey(image).astype(np.uint8)[..., None]
        rows, columns = _numpy_filter(height), _numpy_filter(width)
        sums = np.zeros((SIZE, width))
        step = max(1, _STRIP // width)
        for top in range(0, height, step):
            bottom = min(top + step, height)
            strip = image if step >= height else image.crop((0, top, width, bottom))
            sums += rows[:, top:bottom] @ _numpy_grey(strip)
    return _rounded(sums @ columns.T, np)


def _check_effort(data: bytes) -> None:
    if data.startswith(_JPEG) and data.count(_START_OF_SCAN) > MAX_SCANS:
        raise Refused(f"the image has more than {MAX_SCANS} scans; save it as another JPEG")
    if not data.startswith(_JPEG) and data.count(b"iCCP") > 1:
        raise Refused("the image has more than one colour profile; save it as another PNG")


def png(image: np.ndarray) -> bytes:
    """An image, uint8 [28, 28, 1], as a PNG file, which `decode` takes back to the same pixels."""
    file = io.BytesIO()
    Image.fromarray(image[..., 0]).save(file, "PNG")
    return file.getvalue()


def _numpy_grey(image: Image.Image) -> np.ndarray:
    """Steps 2 and 3, without those that change nothing: float64 [height, width]."""
    if "transparency" not in image.info:
        if image.mode == "L":
            return np.asarray(image, np.float64)
        if image.mode == "RGB":
            return _luma(np.asarray(image, np.int32), np)
    return _luma(_over_white(_rgba(image), np), np)


def _rgba(image: Image.Image) -> np.ndarray:
    """uint8 [height, width, 4]; 16-bit samples keep their high byte, as libpng's strip_16 does."""
    if image.mode == "CMYK" and "adobe_transform" not in image.info:
        # Pillow takes all for Adobe's, in which no ink is 255; libjpeg those that say so.
        image = ImageChops.invert(image)
    if not image.mode.startswith("I"):
        return np.asarray(image.convert("RGBA"))
    samples = np.asarray(image).astype(np.uint32)
    alpha = np.where(samples == image.info.get("transparency", -1), 0, 255)
    return np.stack([samples >> 8] * 3 + [alpha], axis=2).astype(np.uint8)


def grey_28(rgba: Any, size: Any, xp: ModuleType, arange: Any) -> Any:
    """Steps 2 to 4 of this module's definition.

    Args:
        rgba: uint8 [height, width, 4].
        size: its height and width, which a TensorFlow graph knows only when it runs.
        xp: numpy, or tensorflow.experimental.numpy.
        arange: `np.arange`, or `tf.range`.

    Returns:
        uint8 [28, 28, 1].
    """
    rows, columns = (_filter(length, xp, arange) for length in (size[0], size[1]))
    return _rounded(xp.matmul(xp.matmul(rows, _luma(_over_white(rgba, xp), xp)), xp.transpose(columns)), xp)


def _over_white(rgba: Any, xp: ModuleType) -> Any:
    """Step 2: uint8 [height, width, 4] to int32 [height, width, 3]."""
    channels = xp.asarray(rgba, xp.int32)
    colour, alpha = channels[..., :3], channels[..., 3:]
    return (colour * alpha + 255 * (255 - alpha) + 127) // 255


def _luma(rgb: Any, xp: ModuleType) -> Any:
    """Step 3: int32 [height, width, 3] to float64 [height, width]."""
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    return xp.asarray((299 * red + 587 * green + 114 * blue + 500) // 1000, xp.float64)


def _filter(length: Any, xp: ModuleType, arange: Any) -> Any:
    """The weights of each of 28 output positions over `length` input positions, float64 [28, length], in 2^-20."""
    reduction = length / SIZE
    inputs = xp.asarray(arange(length), xp.float64) + 0.5
    centres = (xp.asarray(arange(SIZE), xp.float64) + 0.5) * reduction
    distance = xp.abs(inputs[None, :] - centres[:, None]) / xp.maximum(reduction, 1.0)
    weights = xp.maximum(1.0 - distance, 0.0)
    return xp.floor(weights / xp.sum(weights, axis=1, keepdims=True) * _UNIT + 0.5)


@lru_cache(maxsize=8)
def _numpy_filter(length: int) -> np.ndarray:
    return _filter(length, np, np.arange)


def _rounded(sums: Any, xp: ModuleType) -> Any:
    """Weighted sums, in 2^-40, to uint8 [28, 28, 1]."""
    return xp.asarray(xp.floor(sums / _UNIT**2 + 0.5), xp.uint8)[..., None]
