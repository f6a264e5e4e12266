"""The JSON of a request, parsed within limits."""

import re
from typing import Any

import orjson

from distml.protocol import images, limits
from distml.protocol.contract import BadInput

# Python and JavaScript know these numbers, and Python's `json` writes them.
_NOT_FINITE = re.compile(r"\b(nan|infinity)\b", re.IGNORECASE)
_GZIP, _FORM = b"\x1f\x8b", b"--"
# JSON that binary tensor data follows only describes the data, and is shorter.
_MAX_BYTES_BEFORE_BINARY = 2**16
# orjson's messages for the two faults.
_GOES_ON, _CONTROL = "unexpected content after document", "unexpected control character in string"
_BINARY_RULE = "; before binary data, the header Inference-Header-Content-Length must give the length of the JSON"
_LINE_RULE = "; a line break within a string must be written as \\n; base64 -w0 makes none"


def read(content: bytes | bytearray) -> Any:
    """Return the document in `content`.

    Raises:
        BadInput: `content` is empty, is not JSON, or has more values than any request needs.
    """
    if not content:
        raise BadInput("the body is empty")
    limit = limits.MAX_JSON_VALUES
    if len(content) > limit and sum(map(content.count, (b",", b"[", b"{"))) > limit:
        raise BadInput(f"the JSON has more than {limit:,} values, more than any request needs")
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise BadInput(_fault(content, error)) from None


def _fault(content: bytes | bytearray, error: orjson.JSONDecodeError) -> str:
    """Describe why `content` is not JSON: what it is instead, or where `error` found a fault."""
    if images.file_format(content):
        return 'the body is an image file; send it in base64 within JSON, as in V1\'s {"instances": [{"b64": "..."}]}'
    if content.startswith(_GZIP):
        return 'the body is compressed with gzip; name it in the header, "Content-Encoding: gzip"'
    if content.startswith(_FORM):
        return "the body is a form; send JSON with the image file in base64"
    try:
        content.decode()
    except UnicodeDecodeError:
        return _fault_of_other_bytes(content[:_MAX_BYTES_BEFORE_BINARY])
    return f"the body is not valid JSON: {error}{_hint(error)}"


def _fault_of_other_bytes(content: bytes | bytearray) -> str:
    """Describe content that is not UTF-8: binary data after JSON, or another encoding."""
    try:
        # Every byte is a character of Latin-1, so that orjson reads the JSON and names the byte where it ends.
        orjson.loads(content.decode("latin-1"))
    except orjson.JSONDecodeError as error:
        if error.msg == _GOES_ON:
            return f"the body is not valid JSON: {error}{_BINARY_RULE}"
    return "the body is not JSON in UTF-8"


def _hint(error: orjson.JSONDecodeError) -> str:
    if error.msg == _GOES_ON:
        return _BINARY_RULE
    if error.msg == _CONTROL and error.doc[error.pos] in "\r\n":
        return _LINE_RULE
    near = error.doc[max(0, error.pos - 1) : error.pos + len("-Infinity")]
    return "; JSON has no NaN and no Infinity" if _NOT_FINITE.search(near) else ""
