"""The conversion of a request's image files or lists of pixels to images, uint8 [n, 28, 28, 1], 0 is black.

Files are JPEG or PNG; `limits` defines their maximum sizes.
"""

import binascii
import re
import string
from collections.abc import Callable
from itertools import chain
from typing import Any

import numpy as np
from PIL import Image

from distml.model import image_decoding
from distml.model.image_decoding import SIZE
from distml.protocol import limits
from distml.protocol.contract import BadInput, counted, shortened
from distml.protocol.pixels import pixels_of_numbers

# Pillow's own check is off; a PixelBudget checks every image instead.
Image.MAX_IMAGE_PIXELS = None
# The usual and the URL-safe alphabet, padding, and line breaks. A space may be a plus sign that a form or URL lost.
_BASE64 = string.ascii_letters + string.digits + "+/-_=\r\n"
_USUAL_ALPHABET = str.maketrans("-_", "+/", "\r\n")
_LINE_END = re.compile(r"[\r\n]")
# A line that begins with the signature of a PNG or JPEG file, in either alphabet.
_NEW_FILE = re.compile(r"(?:\r\n|[\r\n])(?:iVBORw0KGgo|[/_]9j[/_])")
# The start of such a file, perhaps as a "data:" URL, in data that should be the file itself.
_FILE_IN_BASE64 = re.compile(rb"\s{0,9}(?:data:[^,]{0,99},)?(?:iVBORw0KGgo|[/_]9j[/_])")
# The signatures of image files. A form or a shell may have changed the line break in that of PNG.
_FORMAT = re.compile(
    rb"(?P<PNG>\x89PNG)|(?P<JPEG>\xff\xd8\xff)|(?P<GIF>GIF8[79]a)|(?P<BMP>BM.{4}\0{4})|(?P<WebP>RIFF.{4}WEBP)"
    rb"|(?P<TIFF>II\*\0|MM\0\*)|(?P<HEIC>.{4}ftyp(?:hei[cx]|mif1))",
    re.DOTALL,
)
_URL = re.compile(r"[a-z][a-z0-9]{0,9}://", re.IGNORECASE)
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
            raise BadInput(_fault_of_file(data)) from None

    def _spend(self, width: int, height: int) -> None:
        self._left -= width * height
        is_allowed = width * height <= limits.MAX_PIXELS_OF_IMAGE and max(width, height) <= limits.MAX_PIXELS_OF_SIDE
        if not is_allowed or (self._left < 0 and self._is_request_limit):
            raise BadInput(_SIZE_RULE)
        if self._left < 0:
            raise TooLargeForEventLoop


def file_format(content: bytes | bytearray) -> str | None:
    """Return the format of an image file by its signature, such as "PNG"; None for any other content."""
    signature = _FORMAT.match(content)
    return signature and signature.lastgroup


def _fault_of_file(data: bytes) -> str:
    """Describe an image file that cannot be decoded."""
    found = file_format(data)
    if found in image_decoding.FORMATS:
        return f"the image begins as a {found} file, but cannot be read; it may be cut short or damaged"
    if found:
        return f"the image is a {found} file; expected JPEG or PNG"
    if _FILE_IN_BASE64.match(data):
        return "the image is in base64 here; send the bytes of the file themselves, or in JSON their base64, made once"
    return "the image is not a JPEG or PNG file that can be read"


def file_from_base64(text: Any) -> bytes:
    """Return the content of an image file from its base64 string in JSON.

    Line breaks, missing padding, the URL-safe alphabet and a `data:` URL are accepted, since each has only one meaning.

    Raises:
        BadInput: the string is not base64; the message names the fault.
    """
    try:
        content = binascii.a2b_base64(text, strict_mode=True)
    except TypeError:
        raise BadInput("an image file must be a string in base64") from None
    except ValueError:
        content = _file_from_unusual_base64(text)
    if not content:
        raise BadInput("the image file is empty")
    return content


def _file_from_unusual_base64(text: str) -> bytes:
    text = text.rstrip()
    start = len(text) - len(text.lstrip())
    if text[start : start + len("data:")].lower() == "data:":
        start = text.find(",") + 1
        if not text[:start].lower().endswith(";base64,"):
            raise BadInput('a "data:" URL must have its image in base64, as in "data:image/png;base64,iVBOR..."')
    wrong = text[start:].lstrip(_BASE64)
    if wrong:
        raise BadInput(_fault(text, len(text) - len(wrong)))
    _check_single_file(text[start:].lstrip())
    digits = text[start:].translate(_USUAL_ALPHABET).rstrip("=")
    if "=" in digits:
        raise BadInput("the base64 of the image file goes on after its padding (=); send each file as its own string")
    if len(digits) % 4 == 1:
        raise BadInput(f"the base64 of the image file has {counted(len(digits), 'character')}, one too many or too few")
    return binascii.a2b_base64(digits + "=" * (-len(digits) % 4), strict_mode=True)


def _check_single_file(lines: str) -> None:
    """Raise BadInput if another file follows the first one, which ends with its only line or with a shorter line.

    A file within a file, such as the thumbnail of a JPEG, can also begin a line, but follows a line of full length.
    """
    width = len(_LINE_END.split(lines, maxsplit=1)[0])
    for other in _NEW_FILE.finditer(lines):
        line = other.start() - width
        if line <= 0 or _LINE_END.search(lines, line, other.start()):
            raise BadInput("the base64 of the image file goes on with another file; send each file as its own string")


def _fault(text: str, wrong: int) -> str:
    """Describe the wrong character at an index of the text as the client sent it."""
    if _URL.match(text.lstrip()) or text[-5:].lower().endswith((".png", ".jpg", ".jpeg")):
        return "an image file must be sent as its content in base64, not as its name or URL"
    if text.lstrip().startswith(("b'", 'b"')):
        return "the base64 of the image file is written as Python prints bytes; send only the text between the quotes"
    character = "a space, perhaps a lost + sign," if text[wrong] == " " else repr(text[wrong])
    return f"the base64 of the image file has {character} as character {wrong + 1}; expected only characters of base64"


def image_of_lists(lists: list) -> np.ndarray:
    """Convert the nested lists of one image to uint8 [28, 28, 1].

    Args:
        lists: the pixels, [28, 28] or [784]; axes of length 1 may be added.
    """
    shape = _shape(lists)
    if not is_image(shape):
        raise BadInput(
            f"an image given as pixels must have the shape [{SIZE}, {SIZE}], [{SIZE}, {SIZE}, 1] or [{SIZE * SIZE}];"
            f" found {shortened(shape)}; image files may have any size and colour"
        )
    for length in shape[1:]:
        lists = _flat(lists, length)
    return np.frombuffer(pixels_of_numbers(lists), np.uint8).reshape(SIZE, SIZE, 1)


def check_list_of_images(lists: list) -> None:
    """Raise BadInput for the pixels of one image in place of a list of images."""
    if len(lists) > 1 and isinstance(lists[0], list | int | float) and is_image(_shape(lists)):
        raise BadInput("the request has one image in place of a list of images; put its pixels into another list")


def _shape(lists: Any) -> list[int]:
    """Return the lengths of nested lists along their first elements."""
    shape = []
    while isinstance(lists, list):
        shape.append(len(lists))
        lists = lists[0] if lists else None
    return shape


def is_image(shape: list[int]) -> bool:
    """Tell whether the shape is that of one image in grey: 28x28 or 784 pixels, with any axes of length 1."""
    return without_ones(shape) in ([SIZE, SIZE], [SIZE * SIZE])


def without_ones(shape: list[int]) -> list[int]:
    """Return a shape without its axes of length 1, which do not change the order of the pixels."""
    return [length for length in shape if length != 1]


def _flat(lists: list, length: int) -> list:
    """Remove an axis of nested lists, each of which must have this length."""
    if set(map(type, lists)) != {list}:
        raise BadInput("the lists of an image mix numbers and lists; expected a number for each pixel")
    for other in set(map(len, lists)) - {length}:
        raise BadInput(f"the lists of an image differ in length, such as {length} and {other}; expected equal lengths")
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
