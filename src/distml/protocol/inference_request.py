"""From a request in KServe's V1 or V2 protocol to images; whatever is wrong with it becomes one sentence.

An instance is an image file (JPEG or PNG, any size within the limits) or the pixels themselves, uint8, 0 is black.
"""

import binascii
import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from PIL import Image

from distml.model import image_decoding
from distml.model.image_decoding import SIZE
from distml.protocol import limits
from distml.protocol.contract import FILES, OUTPUTS, PIXELS, BadInput

if TYPE_CHECKING:  # KServe reads the command line when it is imported; publication comes by here too
    from kserve import InferRequest

# A PixelBudget decides instead, on every image.
Image.MAX_IMAGE_PIXELS = None
_PIXEL_RULE = "pixels must be whole numbers from 0 to 255"
_SIZE_RULE = (
    f"the image is too large: at most {limits.MAX_PIXELS_OF_IMAGE:,} pixels in an image,"
    f" {limits.MAX_PIXELS_OF_REQUEST:,} in a request and {limits.MAX_PIXELS_OF_SIDE:,} along a side"
)
_TENSOR_RULE = (
    f'expected one input, either "{FILES}" with datatype BYTES and shape [n],'
    f' or "{PIXELS}" with datatype UINT8 and shape [n, {SIZE}, {SIZE}, 1]'
)


class NotHere(Exception):
    """Right as it may be, the request announces more pixels than the caller had in mind."""


class PixelBudget:
    """How many pixels the image files of one request may announce: `pixels`, or what a request may have at most."""

    def __init__(self, pixels: int = limits.MAX_PIXELS_OF_REQUEST):
        self._is_whole = pixels >= limits.MAX_PIXELS_OF_REQUEST
        self._left = pixels

    def decode(self, data: bytes) -> np.ndarray:
        """An image file to uint8 [28, 28, 1].

        Raises:
            BadInput: it cannot be decoded, or is not allowed in any request.
            NotHere: this budget is smaller than a request's, and not enough.
        """
        try:
            return image_decoding.decode(data, self._take)
        except (BadInput, NotHere):
            raise
        except image_decoding.Refused as error:
            raise BadInput(str(error)) from None
        except Exception:
            # Pillow raises many kinds of exceptions about damaged files, and lists them nowhere.
            raise BadInput("the image is not a JPEG or PNG file that can be read") from None

    def _take(self, width: int, height: int) -> None:
        self._left -= width * height
        if (
            width * height > limits.MAX_PIXELS_OF_IMAGE
            or max(width, height) > limits.MAX_PIXELS_OF_SIDE
            or (self._left < 0 and self._is_whole)
        ):
            raise BadInput(_SIZE_RULE)
        if self._left < 0:
            raise NotHere


@dataclass(frozen=True)
class V2Request:
    """images: uint8 [n, 28, 28, 1]; outputs: the names to answer with, each with whether as binary data."""

    images: np.ndarray
    outputs: dict[str, bool]
    id: str | None = None


def images_of_v1(body: bytes | bytearray, budget: PixelBudget | None = None) -> np.ndarray:
    """The instances of a V1 request, uint8 [n, 28, 28, 1].

    Raises:
        BadInput: what the sender has to change.
        NotHere: see PixelBudget.
    """
    budget = budget or PixelBudget()
    document = _json(body)
    instances = document.get("instances") if isinstance(document, dict) else None
    if not isinstance(instances, list):
        raise BadInput('the body must be a JSON object with a list "instances"')
    _check_number(len(instances))
    return _stacked(instances, lambda instance: _image_of_instance(instance, budget))


def _image_of_instance(instance: Any, budget: PixelBudget) -> np.ndarray:
    if isinstance(instance, dict):
        file = instance.get(FILES)
        encoded = file.get("b64") if isinstance(file, dict) else None
        if isinstance(encoded, str):
            return budget.decode(_from_base64(encoded))
    elif isinstance(instance, list):
        return _pixels(instance)
    raise BadInput(f'an instance must be {{"{FILES}": {{"b64": "..."}}}} or a {SIZE}x{SIZE} list of pixels')


def _pixels(rows: list) -> np.ndarray:
    """Nested lists of shape [28, 28] or [28, 28, 1]."""
    flat = _flat(_flat([rows], SIZE), SIZE)
    if isinstance(flat[0], list):
        flat = _flat(flat, 1)
    return np.frombuffer(_bytes(flat), np.uint8).reshape(SIZE, SIZE, 1)


def _flat(lists: list, length: int) -> list:
    for inner in lists:
        if not isinstance(inner, list) or len(inner) != length:
            raise BadInput(f"an image given as pixels must have the shape [{SIZE}, {SIZE}] or [{SIZE}, {SIZE}, 1]")
    return list(chain.from_iterable(lists))


def _bytes(values: list) -> bytes:
    try:
        # `bytes` takes true and false for numbers.
        if bool not in set(map(type, values)):
            return bytes(values)
    except (TypeError, ValueError, OverflowError):
        pass
    raise BadInput(_PIXEL_RULE)


def v2_request(body: bytes | bytearray, json_length: int | None, budget: PixelBudget | None = None) -> V2Request:
    """Read a V2 request.

    Args:
        body: JSON, perhaps with binary tensor data behind it.
        json_length: the bytes of JSON where binary data may follow, from `Inference-Header-Content-Length`.
        budget: for the image files in it.

    Raises:
        BadInput: what the sender has to change.
        NotHere: see PixelBudget.
    """
    if json_length is not None and not 0 <= json_length <= len(body):
        raise BadInput("Inference-Header-Content-Length must be the length of the JSON part of the body")
    document = _json(body if json_length is None else body[:json_length])
    binary = memoryview(b"" if json_length is None else body)[json_length or 0 :]
    if not isinstance(document, dict):
        raise BadInput(f"the body must be a JSON object; {_TENSOR_RULE}")
    request_id = document.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise BadInput('"id" must be a string')
    outputs = _outputs(document.get("outputs"), _parameters(document).get("binary_data_output") is True)
    return V2Request(_images_of_json_tensor(document, binary, budget or PixelBudget()), outputs, request_id)


def _images_of_json_tensor(document: dict, binary: memoryview, budget: PixelBudget) -> np.ndarray:
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise BadInput(_TENSOR_RULE)
    tensor = inputs[0]
    number = _number_of_images(tensor.get("name"), tensor.get("datatype"), tensor.get("shape"))
    size, data = _parameters(tensor).get("binary_data_size"), tensor.get("data")
    if size is not None:
        if data is not None or type(size) is not int or size != len(binary):
            raise BadInput('"binary_data_size" must be the length of what follows the JSON, and "data" be absent')
        files, pixels = (_binary_files(binary, number), b"") if tensor["name"] == FILES else ([], bytes(binary))
    else:
        if not isinstance(data, list) or len(binary):
            raise BadInput('the input needs either "data", a list, or "binary_data_size" and binary data')
        data = _flattened(data)
        files, pixels = (data, b"") if tensor["name"] == FILES else ([], _bytes(data))
    if tensor["name"] == FILES:
        read = budget.decode if size is not None else lambda text: budget.decode(_from_base64(text))
        return _images_of_files(files, number, read)
    return _images_of_pixels(pixels, number)


def _number_of_images(name: Any, datatype: Any, shape: Any) -> int:
    """Check the description of the input tensor."""
    if not isinstance(shape, list) or not shape or not all(type(length) is int for length in shape):
        raise BadInput(_TENSOR_RULE)
    fits = {
        (FILES, "BYTES"): shape[1:] in ([], [1]),
        (PIXELS, "UINT8"): shape[1:] in ([SIZE, SIZE], [SIZE, SIZE, 1]),
    }
    if not isinstance(name, str) or not isinstance(datatype, str) or not fits.get((name, datatype), False):
        raise BadInput(_TENSOR_RULE)
    _check_number(shape[0])
    return shape[0]


def _flattened(data: list) -> list:
    """V2's data, which may be nested by its shape or flat."""
    while data and isinstance(data[0], list):
        if not all(isinstance(inner, list) for inner in data):
            raise BadInput('"data" must be a flat list, or nested by its shape')
        data = list(chain.from_iterable(data))
    return data


def _binary_files(binary: memoryview, number: int) -> list[bytes]:
    """V2's binary form of BYTES: before each element its length, 4 bytes, least significant first."""
    files: list[bytes] = []
    at = 0
    while at < len(binary) and len(files) < number:
        try:
            (length,) = struct.unpack_from("<I", binary, at)
        except struct.error:
            length = len(binary)
        at += 4 + length
        if at > len(binary):
            raise BadInput("the binary data ends within an element")
        files.append(bytes(binary[at - length : at]))
    if at != len(binary):
        raise BadInput("there is more binary data than the shape says")
    return files


def images_of_grpc(request: "InferRequest", budget: PixelBudget | None = None) -> np.ndarray:
    """The input of a gRPC request, as KServe parsed it; uint8 [n, 28, 28, 1].

    Raises:
        BadInput: what the sender has to change.
        NotHere: see PixelBudget.
    """
    if len(request.inputs) != 1:
        raise BadInput(_TENSOR_RULE)
    tensor = request.inputs[0]
    number = _number_of_images(tensor.name, tensor.datatype, tensor.shape)
    binary = _binary(tensor)
    if tensor.name == FILES:
        files = tensor.data if binary is None else _binary_files(memoryview(binary), number)
        return _images_of_files(files, number, (budget or PixelBudget()).decode)
    return _images_of_pixels(_bytes(tensor.data) if binary is None else binary, number)


def _binary(tensor: Any) -> bytes | None:
    """A gRPC tensor's binary content. KServe offers it by `as_numpy` only, which reads all that was sent first."""
    return tensor._raw_data


def grpc_length(request: "InferRequest") -> int:
    """About how many bytes the inputs of a gRPC request take."""
    return sum(len(_binary(tensor) or b"") + _length(tensor.data or []) for tensor in request.inputs)


def _length(data: list) -> int:
    return sum(map(len, data)) if data and isinstance(data[0], bytes) else 8 * len(data)


def grpc_outputs(request: "InferRequest") -> dict[str, bool]:
    """The names to answer with; gRPC answers in the form that it was asked in."""
    asked = [{"name": output.name} for output in request.request_outputs or []] or None
    return dict.fromkeys(_outputs(asked, False), request.use_binary_outputs)


def _images_of_files(files: list, number: int, read: Callable[[Any], np.ndarray]) -> np.ndarray:
    if len(files) != number:
        raise BadInput(f"the shape says {number} images, the data holds {len(files)}")
    return _stacked(files, read)


def _images_of_pixels(content: bytes, number: int) -> np.ndarray:
    if len(content) != number * SIZE * SIZE:
        raise BadInput(f"the shape says {number * SIZE * SIZE} pixels, the data holds {len(content)}")
    return np.frombuffer(content, np.uint8).reshape(number, SIZE, SIZE, 1)


def _outputs(asked: Any, binary: bool) -> dict[str, bool]:
    if asked is None or asked == []:
        return dict.fromkeys(OUTPUTS, binary)
    if not isinstance(asked, list) or not all(isinstance(output, dict) for output in asked):
        raise BadInput('"outputs" must be a list of objects')
    for output in asked:
        if not isinstance(output.get("name"), str) or output["name"] not in OUTPUTS:
            raise BadInput(f'the outputs are {", ".join(OUTPUTS)}; "outputs" may name some of them')
    return {output["name"]: _parameters(output).get("binary_data", binary) is True for output in asked}


def _parameters(described: dict) -> dict:
    parameters = described.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise BadInput('"parameters" must be an object')
    return parameters


def _json(content: bytes | bytearray) -> Any:
    if not content:
        raise BadInput("the body is empty")
    if len(content) > limits.MAX_JSON_VALUES and sum(map(content.count, (b",", b"[", b"{"))) > limits.MAX_JSON_VALUES:
        raise BadInput(f"the JSON holds more than {limits.MAX_JSON_VALUES:,} values, more than any request needs")
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"the body is not valid JSON: {error}") from None


def _from_base64(text: Any) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (TypeError, ValueError):
        raise BadInput("an image file must be a string in base64, without line breaks") from None


def _check_number(images: int) -> None:
    if images < 1:
        raise BadInput("the request holds no images")
    if images > limits.MAX_IMAGES_OF_REQUEST:
        raise BadInput(
            f"the request holds {images} images; at most {limits.MAX_IMAGES_OF_REQUEST} are answered at once"
        )


def _stacked(items: list, read: Callable[[Any], np.ndarray]) -> np.ndarray:
    """What `read` makes of each item, uint8 [n, 28, 28, 1]; where there are several, its BadInput says of which."""
    images = []
    for number, item in enumerate(items, 1):
        try:
            images.append(read(item))
        except BadInput as error:
            raise BadInput(f"image {number} of {len(items)}: {error}" if len(items) > 1 else str(error)) from None
    return images[0][None] if len(images) == 1 else np.stack(images)
