"""From an image file to what the models take: uint8 [28, 28, 1]. One definition, for numpy and for TensorFlow.

1. Decode: JPEG with the accurate integer DCT and smooth chroma upsampling; PNG to 8 bits per channel with alpha.
2. Alpha over white.
3. Grey by ITU-R BT.601 luma, 299 R + 587 G + 114 B over 1000, in integers, rounded.
4. Resize to 28x28 with a triangle filter that widens with the reduction, pixel centres aligned, sides independent.

The filter's weights are whole multiples of 2^-20 and the sums stay below 2^53, so float64 holds every intermediate
value exactly, in whatever order a library adds: both executions give the same pixels.
"""

import io
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image

SIZE = 28
FORMATS = ("JPEG", "PNG")
_UNIT = 2.0**20


def decode(data: bytes) -> np.ndarray:
    """Decode a JPEG or PNG file of any size into uint8 [28, 28, 1].

    Raises:
        OSError: Pillow cannot read the file (`PIL.UnidentifiedImageError` when it is no JPEG or PNG).
    """
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        return grey_28(_rgba(image), (image.height, image.width), np, np.arange)


def _rgba(image: Image.Image) -> np.ndarray:
    """uint8 [height, width, 4]; 16-bit samples keep their high byte, as libpng's strip_16 does."""
    if image.mode.startswith("I;16") or image.mode == "I":
        high = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
        image = Image.fromarray(high, mode="L")
    return np.asarray(image.convert("RGBA"))


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
    channels = xp.asarray(rgba, xp.int32)
    colour, alpha = channels[..., :3], channels[..., 3:]
    over_white = (colour * alpha + 255 * (255 - alpha) + 127) // 255
    red, green, blue = over_white[..., 0], over_white[..., 1], over_white[..., 2]
    grey = xp.asarray((299 * red + 587 * green + 114 * blue + 500) // 1000, xp.float64)
    rows, columns = (_filter(length, xp, arange) for length in (size[0], size[1]))
    sums = xp.matmul(xp.matmul(rows, grey), xp.transpose(columns))
    return xp.asarray(xp.floor(sums / _UNIT**2 + 0.5), xp.uint8)[..., None]


def _filter(length: Any, xp: ModuleType, arange: Any) -> Any:
    """The weights of each of 28 output positions over `length` input positions, float64 [28, length], in 2^-20."""
    reduction = length / SIZE
    inputs = xp.asarray(arange(length), xp.float64) + 0.5
    centres = (xp.asarray(arange(SIZE), xp.float64) + 0.5) * reduction
    distance = xp.abs(inputs[None, :] - centres[:, None]) / xp.maximum(reduction, 1.0)
    weights = xp.maximum(1.0 - distance, 0.0)
    return xp.floor(weights / xp.sum(weights, axis=1, keepdims=True) * _UNIT + 0.5)
