"""Image files of many kinds, made for tests."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

KINDS = [(mode, "PNG") for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
KINDS += [(mode, "JPEG") for mode in ("L", "RGB", "CMYK")]


def image_file(mode: str, kind: str, width: int, height: int) -> bytes:
    """Return a file with a random image in `mode`, mostly of smooth colours."""
    random = np.random.default_rng(width * height)
    soft = Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    if mode == "I;16":
        soft = Image.fromarray(random.integers(0, 65536, (height, width)).astype(np.uint16))
    elif mode == "RGBA":
        soft.putalpha(Image.fromarray(random.integers(0, 256, (height, width), np.uint8)))
    else:
        soft = soft.convert(mode)
    file = io.BytesIO()
    soft.save(file, kind)
    return file.getvalue()


def png_file(size: tuple[int, int], depth: int, colour: int, interlaced: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG file assembled from these chunks."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, interlaced)
    file = b"\x89PNG\r\n\x1a\n"
    for kind, data in [(b"IHDR", header), *chunks, (b"IEND", b"")]:
        file += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return file
