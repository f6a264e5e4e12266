"""The JSON of a request, parsed within limits."""

import re
from typing import Any

import orjson

from distml.protocol import limits
from distml.protocol.contract import BadInput

# Python and JavaScript know these numbers, and Python's `json` writes them.
_NOT_FINITE = re.compile(r"\b(nan|infinity)\b", re.IGNORECASE)


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
        near = error.doc[max(0, error.pos - 1) : error.pos + len("-Infinity")]
        hint = "; JSON has no NaN and no Infinity" if _NOT_FINITE.search(near) else ""
        raise BadInput(f"the body is not valid JSON: {error}{hint}") from None
