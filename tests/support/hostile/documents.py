"""Bodies of requests: valid documents in each form, documents with a wrong part, and damaged JSON."""

import base64
import json
from random import Random
from typing import Any

from distml.model.image_decoding import png
from support.predictor_requests import IMAGES, v2_input

FILES = [png(image) for image in IMAGES]
TEXTS = [base64.b64encode(file).decode() for file in FILES]
PIXELS = IMAGES[..., 0].tolist()
V1_FORMS: list[dict[str, Any]] = [
    {"instances": [{"image_bytes": {"b64": text}} for text in TEXTS]},
    {"instances": [{"b64": text} for text in TEXTS]},
    {"instances": TEXTS},
    {"instances": PIXELS},
    {"instances": [{"images": pixels} for pixels in PIXELS], "signature_name": "serving_arrays"},
    {"instances": [{"b64": f"data:image/png;base64,{text}"} for text in TEXTS], "signature_name": "serving_default"},
    {"inputs": {"image_bytes": [{"b64": text} for text in TEXTS]}},
    {"inputs": [{"b64": text} for text in TEXTS]},
    {"inputs": {"images": IMAGES.astype(float).tolist()}, "signature_name": "serving_arrays"},
]
V2_FILES = {"name": "image_bytes", "datatype": "BYTES", "shape": [len(FILES)], "data": TEXTS}
V2_FORMS: list[dict[str, Any]] = [
    {"inputs": [v2_input(IMAGES)]},
    {"id": "1", "inputs": [v2_input(IMAGES[..., 0])], "outputs": [{"name": "class_index"}]},
    {"inputs": [v2_input(IMAGES) | {"name": "input-0", "datatype": "fp32", "shape": [3, 784]}]},
    {"inputs": [V2_FILES], "parameters": {"binary_data_output": False}},
]
# No number of these makes a body longer than a few KB.
WRONG_VALUES: list[Any] = [
    *(None, True, False, -1, 0, 0.5, 255.5, 256, 1e308, -1e-308, 2**31, 2**63, 2**64 - 1),
    *("", "\0", " ", "ä" * 300, "\ud7ff", "instances", "NaN", "=" * 9, "../../etc/passwd", "%00", "a\nb\r\nc"),
    *([], {}, [[]], [[[[[[[[0]]]]]]]], [{}], {"": ""}, {"b64": None}, {"b64": "AAAA"}, {"image_bytes": []}),
    *([0] * 783, [[0] * 28] * 27, [[0] * 28] * 27 + [[0]], [None] * 5, ["a", 1, None], [2**70]),
    *({"datatype": "UINT8"}, ["__class__"], {"__proto__": {}}, [-1, 28, 28, 1], [2**40, 2**40], [0], "UINT8"),
]
WRONG_KEYS = ["", "instances", "inputs", "b64", "images", "image_bytes", "data", "shape", "parameters", "id", "\0"]
NUMBERS = [b"NaN", b"-Infinity", b"1e400", b"-", b"0x10", b"01", b"1" * 400, b"1" * 5000, b"1e99999", b".5", b"+1"]


def with_a_wrong_part(node: Any, random: Random) -> Any:
    """Return a copy of a document in which one value or key is another."""
    if not isinstance(node, dict | list) or not node or random.random() < 0.15:
        return random.choice(WRONG_VALUES)
    copy: Any = node.copy()
    key = random.choice(list(node)) if isinstance(node, dict) else random.randrange(len(node))
    way = random.random()
    if way < 0.1:
        del copy[key]
    elif way < 0.2 and isinstance(copy, dict):
        copy[random.choice(WRONG_KEYS)] = copy.pop(key)
    elif way < 0.3 and isinstance(copy, list):
        copy *= random.choice((0, 2, 3, 3, 3, 3, 3, 90))
    elif way < 0.4:
        copy[key] = random.choice(WRONG_VALUES)
    else:
        copy[key] = with_a_wrong_part(node[key], random)
    return copy


def dump(document: Any) -> bytes:
    return json.dumps(document).encode()


def damaged(content: bytes, random: Random) -> bytes:
    """Return `content` with a few bytes removed, inserted, replaced or repeated, or cut short."""
    bytes_ = bytearray(content)
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(bytes_) + 1)
        way = random.randrange(5)
        if way == 0:
            del bytes_[at : at + random.randrange(1, 9)]
        elif way == 1:
            bytes_[at:at] = random.choice((b"\0", b"\xff", b"\xed\xa0\x80", b'"', b"\\u", b"\\ud800", b"[", b"}", b","))
        elif way == 2:
            bytes_[at : at + 1] = random.randbytes(1)
        elif way == 3:
            bytes_[at : at + 1] = random.choice(NUMBERS)
        else:
            del bytes_[at:]
    return bytes(bytes_)


def nested(random: Random) -> bytes:
    """Return JSON, complete or not, that is nested up to 100,000 levels deep."""
    depth = random.choice((100, 1023, 1024, 1025, 5000, 100_000))
    opening, closing = random.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'{"instances":[', b"]}")))
    closings = random.choice((0, depth))
    return b'{"instances":' * random.randrange(2) + opening * depth + b"1" + closing * closings


def not_json(random: Random) -> bytes:
    """Return a body that is not JSON."""
    text = dump(random.choice(V1_FORMS)).decode()
    return random.choice(
        (
            *(b"", b" ", b"\0" * 99, b"\xef\xbb\xbf{}", b"{}{}", b"{'instances': []}", b'{"instances": [NaN]}'),
            *(b"instances=1", b"<xml/>", b"null,", b'"\xff"', b'{"a":1,}', b"[1 2]", b"\x80\x04]q\x00."),
            *(text.encode("utf-16"), random.randbytes(300), text.encode()[: random.randrange(len(text))]),
        )
    )


def many_values(random: Random) -> bytes:
    """Return JSON with more values than a request may have."""
    return random.choice((b"[" + b"0," * 600_000 + b"0]", b"[" * 700_000, b'{"instances":[' + b"{}," * 600_000))
