"""The conversion of image files to the models' input, uint8 [28, 28, 1]: one definition for numpy and TensorFlow.

1. Decode: JPEG with the accurate integer DCT and smooth chroma upsampling; PNG to 8 bits per channel with alpha.
2. Blend over white by alpha.
3. Convert to grey by ITU-R BT.601 luma, (299 R + 587 G + 114 B) / 1000, in integers, rounded.
4. Resize each axis to 28 with a triangle filter that widens with the reduction; pixel centres are aligned.

The filter's weights are whole multiples of 2^-20 and the sums stay below 2^53, so float64 represents every
intermediate value exactly, in any order of addition. Hence this module and `image_decoding_tf` return the same pixels.
This module refuses two kinds of file that TensorFlow decodes: those that take too long, and 16-bit RGB with a
transparent colour, since Pillow drops the low byte of each sample.
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
# Pixels converted to float64 at once, so that a large image takes little more memory than its decoded pixels.
_STRIP = 2**18
# Bytes of unpacked text in one PNG file. By default, Pillow unpacks 64 MiB from a few KiB.
MAX_TEXT_BYTES = 2**21
PngImagePlugin.MAX_TEXT_MEMORY = MAX_TEXT_BYTES
# A progressive JPEG has about 10 scans; each costs a pass over all pixels.
MAX_SCANS = 64
_JPEG, _START_OF_SCAN = b"\xff\xd8", b"\xff\xda"
# Pillow's names for 2-bit and 4-bit grey samples, and the factor that widens each to 8 bits.
_PACKED_GREY = {"L;2": 85, "L;4": 17}


class Refused(ValueError):
    """The file is of a kind that this module does not decode; the message is one sentence for its sender."""


def decode(data: bytes, allow: Callable[[int, int], None] = lambda width, height: None) -> np.ndarray:
    """Decode a JPEG or PNG file into uint8 [28, 28, 1].

    Args:
        data: the file's content.
        allow: called with the header's width and height, before the pixels take memory; may raise.

    Raises:
        Refused: decoding would take too long, or Pillow would lose a part of the content.
        OSError: Pillow cannot read the file (`PIL.UnidentifiedImageError` if the file is neither JPEG nor PNG). A
            damaged file can raise other exceptions too.
    """
    _check_effort(data)
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        width, height = image.size
        allow(width, height)
        transparency = image.info.get("transparency")
        if str(image.tile[0].args) == "RGB;16B" and transparency is not None:
            raise Refused("a PNG of 16-bit RGB with a transparent colour is not supported; save it with alpha")
        if image.mode == "L" and transparency is not None:
            # Pillow widens the samples to 8 bits, but not the transparent value that it compares them with.
            image.info["transparency"] = transparency * _PACKED_GREY.get(str(image.tile[0].args), 1)
        image.load()
        if (width, height) == (SIZE, SIZE):  # step 4 would change nothing
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
        raise Refused(f"the image has more than {MAX_SCANS} scans; save it as a JPEG with fewer")
    if not data.startswith(_JPEG) and data.count(b"iCCP") > 1:
        raise Refused("the image has more than one colour profile; save it as a PNG with at most one")


def png(image: np.ndarray) -> bytes:
    """Return an image, uint8 [28, 28, 1], as a PNG file that `decode` converts back to the same pixels."""
    file = io.BytesIO()
    Image.fromarray(image[..., 0]).save(file, "PNG")
    return file.getvalue()


def _numpy_grey(image: Image.Image) -> np.ndarray:
    """Run steps 2 and 3, except those without effect; return float64 [height, width]."""
    if "transparency" not in image.info:
        if image.mode == "L":
            return np.asarray(image, np.float64)
        if image.mode == "RGB":
            return _luma(np.asarray(image, np.int32), np)
    return _luma(_over_white(_rgba(image), np), np)


def _rgba(image: Image.Image) -> np.ndarray:
    """Return uint8 [height, width, 4]; 16-bit samples keep their high byte, as with libpng's strip_16."""
    if image.mode == "CMYK" and "adobe_transform" not in image.info:
        # Pillow reads every CMYK file as Adobe's, where 255 means no ink; libjpeg only those with Adobe's marker.
        image = ImageChops.invert(image)
    if not image.mode.startswith("I"):
        return np.asarray(image.convert("RGBA"))
    samples = np.asarray(image).astype(np.uint32)
    alpha = np.where(samples == image.info.get("transparency", -1), 0, 255)
    return np.stack([samples >> 8] * 3 + [alpha], axis=2).astype(np.uint8)


def grey_28(rgba: Any, size: Any, xp: ModuleType, arange: Any) -> Any:
    """Run steps 2 to 4 of the module's definition.

    Args:
        rgba: uint8 [height, width, 4].
        size: the image's height and width, which a TensorFlow graph knows only when it runs.
        xp: numpy or tensorflow.experimental.numpy.
        arange: `np.arange` or `tf.range`.

    Returns:
        uint8 [28, 28, 1].
    """
    rows, columns = (_filter(length, xp, arange) for length in (size[0], size[1]))
    return _rounded(xp.matmul(xp.matmul(rows, _luma(_over_white(rgba, xp), xp)), xp.transpose(columns)), xp)


def _over_white(rgba: Any, xp: ModuleType) -> Any:
    """Run step 2: uint8 [height, width, 4] to int32 [height, width, 3]."""
    channels = xp.asarray(rgba, xp.int32)
    colour, alpha = channels[..., :3], channels[..., 3:]
    return (colour * alpha + 255 * (255 - alpha) + 127) // 255


def _luma(rgb: Any, xp: ModuleType) -> Any:
    """Run step 3: int32 [height, width, 3] to float64 [height, width]."""
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    return xp.asarray((299 * red + 587 * green + 114 * blue + 500) // 1000, xp.float64)


def _filter(length: Any, xp: ModuleType, arange: Any) -> Any:
    """Return the weights of `length` input positions for 28 outputs: float64 [28, length], in units of 2^-20."""
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
    """Round weighted sums, in units of 2^-40, to uint8 [28, 28, 1]."""
    return xp.asarray(xp.floor(sums / _UNIT**2 + 0.5), xp.uint8)[..., None]
