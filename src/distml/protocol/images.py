"""From what stands in a request to images, uint8 [n, 28, 28, 1], 0 is black: image files, and lists of pixels.

A file is JPEG or PNG; how large it may be is in `limits`.
"""

import binascii
from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np
from PIL import Image

from distml.model import image_decoding
from distml.model.image_decoding import SIZE
from distml.protocol import limits
from distml.protocol.contract import BadInput

# A PixelBudget decides instead, on every image.
Image.MAX_IMAGE_PIXELS = None
_PIXEL_RULE = "pixels must be whole numbers from 0 to 255"
_SIZE_RULE = (
    f"the image is too large: at most {limits.MAX_PIXELS_OF_IMAGE:,} pixels in an image,"
    f" {limits.MAX_PIXELS_OF_REQUEST:,} in a request and {limits.MAX_PIXELS_OF_SIDE:,} along a side"
)


class TooLargeForEventLoop(Exception):
    """The request may be valid, but holds more pixels than the event loop decodes; a thread has to read it."""


class PixelBudget:
    """The pixels that the image files of one request may announce: `pixels`, or what a request may have at most."""

    def __init__(self, pixels: int = limits.MAX_PIXELS_OF_REQUEST):
        self._is_whole = pixels >= limits.MAX_PIXELS_OF_REQUEST
        self._left = pixels

    def decode(self, data: bytes) -> np.ndarray:
        """Decode an image file into uint8 [28, 28, 1].

        Raises:
            BadInput: it cannot be decoded, or is not allowed in any request.
            TooLargeForEventLoop: this budget is smaller than a request's, and not enough.
        """
        try:
            return image_decoding.decode(data, self._spend)
        except (BadInput, TooLargeForEventLoop):
            raise
        except image_decoding.Refused as error:
            raise BadInput(str(error)) from None
        except Exception:
            # Pillow raises many kinds of exceptions about damaged files, and lists them nowhere.
            raise BadInput("the image is not a JPEG or PNG file that can be read") from None

    def _spend(self, width: int, height: int) -> None:
        self._left -= width * height
        is_allowed = width * height <= limits.MAX_PIXELS_OF_IMAGE and max(width, height) <= limits.MAX_PIXELS_OF_SIDE
        if not is_allowed or (self._left < 0 and self._is_whole):
            raise BadInput(_SIZE_RULE)
        if self._left < 0:
            raise TooLargeForEventLoop


def file_from_base64(text: Any) -> bytes:
    """Return the content of an image file that stands in JSON."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (TypeError, ValueError):
        raise BadInput("an image file must be a string in base64, without line breaks") from None


def image_of_lists(rows: list) -> np.ndarray:
    """Return the image, uint8 [28, 28, 1], of nested lists of shape [28, 28] or [28, 28, 1]."""
    flat = _flat(_flat([rows], SIZE), SIZE)
    if isinstance(flat[0], list):
        flat = _flat(flat, 1)
    return np.frombuffer(bytes_of_numbers(flat), np.uint8).reshape(SIZE, SIZE, 1)


def _flat(lists: list, length: int) -> list:
    for inner in lists:
        if not isinstance(inner, list) or len(inner) != length:
            raise BadInput(f"an image given as pixels must have the shape [{SIZE}, {SIZE}] or [{SIZE}, {SIZE}, 1]")
    return list(chain.from_iterable(lists))


def bytes_of_numbers(values: list) -> bytes:
    """Return pixels, whole numbers from 0 to 255, as bytes."""
    try:
        # `bytes` takes true and false for numbers.
        if bool not in set(map(type, values)):
            return bytes(values)
    except (TypeError, ValueError, OverflowError):
        pass
    raise BadInput(_PIXEL_RULE)


def check_count(images: int) -> None:
    """Refuse a request that holds no images, or too many."""
    if images < 1:
        raise BadInput("the request holds no images")
    if images > limits.MAX_IMAGES_OF_REQUEST:
        most = limits.MAX_IMAGES_OF_REQUEST
        raise BadInput(f"the request holds {images} images; at most {most} are answered at once")


def stack(items: list, read: Callable[[Any], np.ndarray]) -> np.ndarray:
    """Read each item into an image, and stack them, uint8 [n, 28, 28, 1].

    Raises:
        BadInput: that of `read`; where there are several items, it says of which.
    """
    images = []
    for number, item in enumerate(items, 1):
        try:
            images.append(read(item))
        except BadInput as error:
            raise BadInput(f"image {number} of {len(items)}: {error}" if len(items) > 1 else str(error)) from None
    return images[0][None] if len(images) == 1 else np.stack(images)
