"""The JSON of a request, parsed within limits."""

from typing import Any

import orjson

from distml.protocol import limits
from distml.protocol.contract import BadInput


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
        raise BadInput(f"the body is not valid JSON: {error}") from None
