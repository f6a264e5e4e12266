"""The conversion of a request's image files or lists of pixels to images, uint8 [n, 28, 28, 1], 0 is black.

Files are JPEG or PNG; `limits` defines their maximum sizes.
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
from distml.protocol.pixels import pixels_of_numbers

# Pillow's own check is off; a PixelBudget checks every image instead.
Image.MAX_IMAGE_PIXELS = None
_SIZE_RULE = (
    f"the image is too large: at most {limits.MAX_PIXELS_OF_IMAGE:,} pixels in an image,"
    f" {limits.MAX_PIXELS_OF_REQUEST:,} in a request and {limits.MAX_PIXELS_OF_SIDE:,} along a side"
)


class TooLargeForEventLoop(Exception):
    """The request may be valid, but has too many pixels to decode on the event loop; a thread must read it."""


class PixelBudget:
    """The number of pixels that the image files of one request may have together."""

    def __init__(self, pixels: int = limits.MAX_PIXELS_OF_REQUEST):
        self._is_request_limit = pixels >= limits.MAX_PIXELS_OF_REQUEST
        self._left = pixels

    def decode(self, data: bytes) -> np.ndarray:
        """Decode an image file into uint8 [28, 28, 1].

        Raises:
            BadInput: the file cannot be decoded, or exceeds the limits of a request.
            TooLargeForEventLoop: the file exceeds this budget, which is smaller than the limit of a request.
        """
        try:
            return image_decoding.decode(data, self._spend)
        except (BadInput, TooLargeForEventLoop):
            raise
        except image_decoding.Refused as error:
            raise BadInput(str(error)) from None
        except Exception:
            # Pillow raises many kinds of exceptions for damaged files, and documents no list of them.
            raise BadInput("the image is not a JPEG or PNG file that can be read") from None

    def _spend(self, width: int, height: int) -> None:
        self._left -= width * height
        is_allowed = width * height <= limits.MAX_PIXELS_OF_IMAGE and max(width, height) <= limits.MAX_PIXELS_OF_SIDE
        if not is_allowed or (self._left < 0 and self._is_request_limit):
            raise BadInput(_SIZE_RULE)
        if self._left < 0:
            raise TooLargeForEventLoop


def file_from_base64(text: Any) -> bytes:
    """Return the content of an image file from its base64 string in JSON."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (TypeError, ValueError):
        raise BadInput("an image file must be a string in base64, without line breaks") from None


def image_of_lists(rows: list) -> np.ndarray:
    """Convert nested lists of shape [28, 28] or [28, 28, 1] to an image, uint8 [28, 28, 1]."""
    flat = _flat(_flat([rows], SIZE), SIZE)
    if isinstance(flat[0], list):
        flat = _flat(flat, 1)
    return np.frombuffer(pixels_of_numbers(flat), np.uint8).reshape(SIZE, SIZE, 1)


def _flat(lists: list, length: int) -> list:
    for inner in lists:
        if not isinstance(inner, list) or len(inner) != length:
            raise BadInput(f"an image given as pixels must have the shape [{SIZE}, {SIZE}] or [{SIZE}, {SIZE}, 1]")
    return list(chain.from_iterable(lists))


def check_count(images: int) -> None:
    """Raise BadInput for a request with no images or too many."""
    if images < 1:
        raise BadInput("the request has no images")
    if images > limits.MAX_IMAGES_OF_REQUEST:
        limit = limits.MAX_IMAGES_OF_REQUEST
        raise BadInput(f"the request has {images} images; at most {limit} are answered at once")


def stack(items: list, read: Callable[[Any], np.ndarray]) -> np.ndarray:
    """Convert each item to an image by `read`, and stack the images, uint8 [n, 28, 28, 1].

    Raises:
        BadInput: from `read`; if there are several items, the message begins with the number of the bad one.
    """
    images = []
    for number, item in enumerate(items, 1):
        try:
            images.append(read(item))
        except BadInput as error:
            raise BadInput(f"image {number} of {len(items)}: {error}" if len(items) > 1 else str(error)) from None
    return images[0][None] if len(images) == 1 else np.stack(images)
