"""The tensors of KServe's V2 protocol, for REST and gRPC: the rules for the input, and the outputs of an answer."""

import struct
from collections.abc import Callable, Container, Sized
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from distml.model.image_decoding import SIZE
from distml.protocol import images
from distml.protocol.contract import FILES, ON_REQUEST, OUTPUTS, PIXELS, BadInput, counted, shortened
from distml.protocol.images import PixelBudget
from distml.protocol.pixels import pixels_of_array

# The datatypes of pixels, as numpy's types in V2's byte order.
NUMBERS = {
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
}
OUTPUT_DATATYPES = OUTPUTS | ON_REQUEST
EXPECTED = f"expected one input: image files (BYTES, shape [n]) or pixels (UINT8, shape [n, {SIZE}, {SIZE}, 1])"
_DATATYPES = f"expected BYTES for image files, or {', '.join(NUMBERS)} for pixels"


@dataclass(frozen=True)
class V2Request:
    """The content of a V2 request.

    Attributes:
        images: uint8 [n, 28, 28, 1].
        outputs: the names of the outputs to answer with; True asks for binary data.
        id: the client's name for the request, which the answer repeats; may be empty.
    """

    images: np.ndarray
    outputs: dict[str, bool]
    id: str


class Input(NamedTuple):
    """The checked description of a request's input: its datatype in upper case, and the number of its images."""

    datatype: str
    image_count: int

    @property
    def has_files(self) -> bool:
        return self.datatype == "BYTES"

    @property
    def has_floats(self) -> bool:
        return self.datatype.startswith("FP")


def check_single(inputs: Sized) -> None:
    """Raise BadInput unless the request has one input."""
    if len(inputs) != 1:
        raise BadInput(f"the request has {len(inputs) or 'no'} inputs; {EXPECTED}")


def describe(name: Any, datatype: Any, shape: Any, parameters: Container[str]) -> Input:
    """Check the description of the input tensor; the datatype decides whether it has files or pixels.

    Raises:
        BadInput: a part is wrong; the message names the part.
    """
    if not isinstance(name, str):
        raise BadInput(f'the input\'s "name" must be a string, such as "{PIXELS}"')
    if not name:
        raise BadInput(f'the input\'s "name" is empty; name it "{PIXELS}" for pixels or "{FILES}" for image files')
    if not isinstance(datatype, str):
        raise BadInput(f'the input\'s "datatype" must be a string; {_DATATYPES}')
    kind = datatype.upper() if datatype.isascii() else datatype
    if kind != "BYTES" and kind not in NUMBERS:
        raise BadInput(f"the datatype {shortened(datatype)} is not accepted; {_DATATYPES}")
    if kind == "BYTES" and name == PIXELS:
        raise BadInput(f'"{PIXELS}" means pixels, but BYTES means image files; name the input "{FILES}"')
    if kind != "BYTES" and name == FILES:
        raise BadInput(f'"{FILES}" means image files, but {kind} means pixels; name the input "{PIXELS}"')
    if "shared_memory_region" in parameters:
        raise BadInput("the input is in shared memory, which this server does not offer; send the data in the request")
    count = _count_of_images(shape, kind == "BYTES")
    images.check_count(count)
    return Input(kind, count)


def _count_of_images(shape: Any, has_files: bool) -> int:
    """Return the length of the first axis, or 1 if the shape is that of a single image; axes of length 1 are ignored.

    Only axes after the first are ignored: [1, 3, 28, 28] is a colour image, not three images.
    """
    if not isinstance(shape, list) or not shape or not all(type(length) is int for length in shape):
        example = "[1]" if has_files else f"[1, {SIZE}, {SIZE}, 1]"
        raise BadInput(f'the input\'s "shape" must be a list of whole numbers, such as {example}')
    if min(shape) < 0:
        raise BadInput(f"the shape {shortened(shape)} has a negative length; each must be that of the data sent")
    if has_files:
        if not images.without_ones(shape[1:]):
            return shape[0]
        raise BadInput(f"the shape {shortened(shape)} does not fit; image files need [n], for n files")
    if images.is_image(shape[1:]):
        return shape[0]
    if images.is_image(shape):
        return 1
    raise BadInput(
        f"the shape {shortened(shape)} does not fit; pixels need [n, {SIZE}, {SIZE}, 1], [n, {SIZE}, {SIZE}] or"
        f" [n, {SIZE * SIZE}], in grey; image files (datatype BYTES) may have any size and colour"
    )


def images_of_binary(described: Input, binary: memoryview, budget: PixelBudget) -> np.ndarray:
    """Convert binary tensor data to images, uint8 [n, 28, 28, 1]. Raises what PixelBudget.decode raises."""
    if described.has_files:
        return images_of_files(_split_files(binary, described.image_count), described.image_count, budget.decode)
    number = NUMBERS[described.datatype]
    length = described.image_count * SIZE * SIZE * number.itemsize
    if len(binary) != length:
        raise BadInput(f"the shape announces {length} bytes of {described.datatype}, but the data has {len(binary)}")
    is_bytes = described.datatype == "UINT8"
    return images_of_pixels(bytes(binary) if is_bytes else pixels_of_array(np.frombuffer(binary, number)))


def _split_files(binary: memoryview, count: int) -> list[bytes]:
    """Split the binary form of BYTES: elements, each after its length in 4 bytes, little-endian."""
    files: list[bytes] = []
    at = 0
    while at < len(binary) and len(files) < count:
        try:
            (length,) = struct.unpack_from("<I", binary, at)
        except struct.error:
            length = len(binary)
        at += 4 + length
        if at > len(binary):
            raise BadInput(
                "the binary data ends within an element; each image file must follow its length in 4 bytes,"
                " little-endian"
            )
        files.append(bytes(binary[at - length : at]))
    if at != len(binary):
        raise BadInput("the binary data is longer than the shape announces")
    return files


def images_of_files(files: list, count: int, read: Callable[[Any], np.ndarray]) -> np.ndarray:
    """Convert `count` image files, each by `read`, to uint8 [n, 28, 28, 1]."""
    if len(files) != count:
        raise BadInput(f"the shape announces {counted(count, 'image')}, but the data has {len(files)}")
    return images.stack(files, read)


def check_pixels(values: Sized, count: int) -> None:
    """Raise BadInput unless there is a value for each pixel of `count` images."""
    if len(values) != count * SIZE * SIZE:
        raise BadInput(f"the shape announces {count * SIZE * SIZE} pixels, but the data has {len(values)}")


def images_of_pixels(content: bytes) -> np.ndarray:
    """Return pixels as images, uint8 [n, 28, 28, 1]."""
    return np.frombuffer(content, np.uint8).reshape(-1, SIZE, SIZE, 1)


def output_tensors(request: V2Request, probabilities: np.ndarray, class_names: list[str]) -> dict[str, np.ndarray]:
    """Return the tensors of an answer, by their names."""
    index = probabilities.argmax(axis=1)
    names = np.array([class_names[one].encode() for one in index.tolist()], dtype=object)
    return dict(zip(OUTPUT_DATATYPES, (probabilities, index, names, request.images), strict=True))


def check_output(name: Any, parameters: Container[str], earlier: Container[str]) -> None:
    """Raise BadInput for an unknown output, one that is among the earlier ones, or a form that is not offered."""
    if not isinstance(name, str) or name not in OUTPUT_DATATYPES:
        raise BadInput(f'the outputs are {", ".join(OUTPUT_DATATYPES)}; "outputs" may name some of them')
    if name in earlier:
        raise BadInput(f'"outputs" names "{name}" twice; name each output once')
    if "classification" in parameters:
        raise BadInput(f'"classification" of the output "{name}" is not offered; ask for "class_name"')
    if "shared_memory_region" in parameters:
        raise BadInput(f'the output "{name}" cannot be written to shared memory, only to the answer')


def binary_of(content: np.ndarray) -> bytes:
    """Return V2's binary tensor data: little-endian numbers, or elements of BYTES, each after its length."""
    if content.dtype != object:
        return content.astype(content.dtype.newbyteorder("<"), copy=False).tobytes()
    return b"".join(len(one).to_bytes(4, "little") + one for one in content)
