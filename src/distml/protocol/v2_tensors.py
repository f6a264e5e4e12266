"""The tensors of KServe's V2 protocol, for REST and gRPC: the rule for the input, and the outputs of an answer."""

import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from distml.model.image_decoding import SIZE
from distml.protocol import images
from distml.protocol.contract import FILES, OUTPUTS, PIXELS, BadInput

INPUT_RULE = (
    f'expected one input, either "{FILES}" with datatype BYTES and shape [n],'
    f' or "{PIXELS}" with datatype UINT8 and shape [n, {SIZE}, {SIZE}, 1]'
)


def count_of_images(name: Any, datatype: Any, shape: Any) -> int:
    """Check the description of the input tensor, and return the number of images it announces."""
    if not isinstance(shape, list) or not shape or not all(type(length) is int for length in shape):
        raise BadInput(INPUT_RULE)
    fits = {
        (FILES, "BYTES"): shape[1:] in ([], [1]),
        (PIXELS, "UINT8"): shape[1:] in ([SIZE, SIZE], [SIZE, SIZE, 1]),
    }
    if not isinstance(name, str) or not isinstance(datatype, str) or not fits.get((name, datatype), False):
        raise BadInput(INPUT_RULE)
    images.check_count(shape[0])
    return shape[0]


def split_binary_files(binary: memoryview, count: int) -> list[bytes]:
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
            raise BadInput("the binary data ends within an element")
        files.append(bytes(binary[at - length : at]))
    if at != len(binary):
        raise BadInput("the binary data is longer than the shape announces")
    return files


def images_of_files(files: list, count: int, read: Callable[[Any], np.ndarray]) -> np.ndarray:
    """Convert `count` image files, each by `read`, to uint8 [n, 28, 28, 1]."""
    if len(files) != count:
        raise BadInput(f"the shape announces {count} images, but the data has {len(files)}")
    return images.stack(files, read)


def images_of_pixels(content: bytes, count: int) -> np.ndarray:
    """Return the pixels in `content` as `count` images, uint8 [n, 28, 28, 1]."""
    if len(content) != count * SIZE * SIZE:
        raise BadInput(f"the shape announces {count * SIZE * SIZE} pixels, but the data has {len(content)}")
    return np.frombuffer(content, np.uint8).reshape(count, SIZE, SIZE, 1)


def output_tensors(probabilities: np.ndarray, class_names: list[str]) -> dict[str, np.ndarray]:
    """Return the tensors of an answer, by the names in OUTPUTS."""
    index = probabilities.argmax(axis=1)
    names = np.array([class_names[one].encode() for one in index.tolist()], dtype=object)
    return dict(zip(OUTPUTS, (probabilities, index, names), strict=True))


def check_output(name: Any) -> None:
    """Raise BadInput for an output that the model does not have."""
    if not isinstance(name, str) or name not in OUTPUTS:
        raise BadInput(f'the outputs are {", ".join(OUTPUTS)}; "outputs" may name some of them')
