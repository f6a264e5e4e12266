"""Image files that announce too much, are damaged or are of other kinds, and bodies that inflate to too much."""

import gzip
import io
import struct
import zlib
from random import Random

import numpy as np
from PIL import Image

from support.hostile.documents import FILES, V1_FORMS, damaged, dump
from support.images import KINDS, image_file, png_file

SMALL = [image_file(mode, kind, 28, 28) for mode, kind in KINDS]
ZEROS = zlib.compress(b"\0" * 2**24, 9)


def damaged_image(random: Random) -> bytes:
    return damaged(random.choice(SMALL), random)


def announcing_png(random: Random) -> bytes:
    """Return a short PNG file that announces too many pixels."""
    sides = (0, 2**14 + 1, 60_000, 2**31 - 1, 2**32 - 1)
    size = random.choice(sides), random.choice((1, *sides))
    depth, colour = random.choice(((8, 0), (8, 2), (1, 3), (16, 6)))
    return png_file(size, depth, colour, random.randrange(2), (b"IDAT", zlib.compress(random.randbytes(9))))


def swollen_png(random: Random) -> bytes:
    """Return a short PNG file with 16 MB of zeros: in a text, a colour profile, or behind its few pixels."""
    kind, head = random.choice(((b"zTXt", b"a\0\0"), (b"iCCP", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0"), (b"IDAT", b"")))
    return png_file((28, 28), 8, 0, 0, (kind, head + ZEROS), (b"IDAT", zlib.compress(bytes(29 * 28))))


def largest_png(random: Random) -> bytes:
    """Return a PNG file of a few KB with as many pixels as an image may have."""
    width, height = random.choice(((2**14, 2**10), (2**12, 2**12), (2**10, 2**14)))
    row = zlib.compressobj(9)
    data = b"".join([row.compress(bytes(1 + width // 8)) for _ in range(height)]) + row.flush()
    return png_file((width, height), 1, 0, 0, (b"IDAT", data))


def many_scans(random: Random) -> bytes:
    """Return a progressive JPEG file with hundreds of scans."""
    file = io.BytesIO()
    Image.fromarray(np.zeros((512, 512), np.uint8)).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:-2] + content[last:-2] * random.choice((200, 900)) + content[-2:]


def announcing_jpeg(random: Random) -> bytes:
    """Return a short JPEG file that announces too many pixels."""
    content = bytearray(SMALL[-2])
    frame = content.index(b"\xff\xc0")
    sides = random.choice(((65_535, 65_535), (2**14 + 1, 1), (20_000, 20_000)))
    content[frame + 5 : frame + 9] = struct.pack(">HH", *sides)
    return bytes(content)


def other_format(random: Random) -> bytes:
    """Return an image in a format that is not accepted, or its mere beginning."""
    formats = ("GIF", "BMP", "TIFF", "WEBP", "ICO", "PPM", "TGA")
    file = io.BytesIO()
    Image.fromarray(np.zeros((28, 28, 3), np.uint8)).save(file, random.choice(formats))
    starts = (
        b"%PDF-1.4",
        b"<svg xmlns='a'/>",
        b"8BPS\0\1",
        b"\0\0\0\x0cjP  ",
        b"qoif",
        b"\x89PNG",
        b"\xff\xd8\xff",
        b"x",
    )
    return random.choice((file.getvalue(), random.choice(starts)))


def valid_gzip(random: Random) -> bytes:
    """Return a valid V1 body as gzip data, of one or several members."""
    body = dump(random.choice(V1_FORMS))
    at = random.randrange(len(body))
    return random.choice((gzip.compress(body, 1), gzip.compress(body[:at], 1) + gzip.compress(body[at:], 1)))


def bad_gzip(random: Random) -> bytes:
    """Return gzip data that is cut short, or with a wrong header or checksum, or that is none."""
    content = gzip.compress(dump(random.choice(V1_FORMS)), 1)
    return random.choice(
        (
            *(content[: random.randrange(len(content))], content[:-8] + random.randbytes(8), b"\x1f\x8b\x08\xff" * 9),
            *(content + b"\0", content[2:], FILES[0], b"\x1f\x8b" + random.randbytes(200), zlib.compress(content)),
        )
    )


def gzip_bomb(random: Random) -> bytes:
    """Return a few KB that inflate to more than a body may have: of zeros, of spaces, or in thousands of members."""
    content = random.choice((bytes(2**24), b" " * (2**23 + 1), b"[" * 2**25))
    return random.choice((gzip.compress(content, 1), gzip.compress(content[: 2**16], 1) * 200))
