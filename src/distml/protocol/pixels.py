"""The rule for pixels that a request sends as numbers: whole numbers from 0 (black) to 255, whatever their type.

Floats of which the largest is 1 are refused: they are nearly always an image between 0 and 1 without grey.
"""

import numpy as np

from distml.protocol.contract import BadInput

_RULE = "pixels must be whole numbers from 0 to 255"
# JSON's names, which clients know.
_KINDS = {bool: "true or false", type(None): "null", str: "a string", list: "a list", dict: "an object"}


def pixels_of_numbers(values: list, are_floats: bool = False) -> bytes:
    """Convert a flat list of pixels to bytes; 255.0 is accepted for 255.

    Args:
        values: integers or floats.
        are_floats: the request declares all of them as floats. JavaScript writes 1.0 as 1.

    Raises:
        BadInput: a value is not a pixel; the message names the mistake.
    """
    kinds = set(map(type, values))
    if kinds == {int} and not are_floats:
        try:
            return bytes(values)
        except ValueError:
            pass
    for kind in kinds - {int, float}:
        raise BadInput(f"{_RULE}; one of them is {_KINDS.get(kind, 'not a number')}")
    return pixels_of_array(np.array(values, np.float64))


def pixels_of_array(array: np.ndarray) -> bytes:
    """Convert an array of pixels, integers or floats of any width, to bytes.

    Raises:
        BadInput: a value is not a pixel; the message names the mistake.
    """
    with np.errstate(invalid="ignore"):
        pixels = array.astype(np.uint8)
    # The cast changes every value that is not a pixel.
    if not np.array_equal(pixels, array):
        raise BadInput(f"{_RULE}; {_mistake(array)}")
    if array.dtype.kind == "f" and pixels.max(initial=0) == 1:
        raise BadInput(f"{_RULE}; {_normalised('1.0')}")
    return pixels.tobytes()


def _mistake(array: np.ndarray) -> str:
    if not np.isfinite(array).all():
        return "one of them is NaN or infinite"
    least, most = array.min(), array.max()
    if least < 0:
        return f"the smallest is {_text(least)}; send them as the image has them, without normalisation"
    if most > 255:
        return f"the largest is {_text(most)}"
    fraction = array[array % 1 != 0][0]
    if most <= 1:
        return _normalised(_text(fraction))
    return f"{_text(fraction)} is not whole; round it"


def _normalised(example: str) -> str:
    return f"these are between 0 and 1, such as {example}; multiply them by 255 and round them"


def _text(number: np.generic) -> str:
    """Format a number with the digits of its own type: 0.1 for float32, 256 for 256.0."""
    return str(number).removesuffix(".0")
