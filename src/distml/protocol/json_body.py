"""The JSON of a request, read within bounds."""

from typing import Any

import orjson

from distml.protocol import limits
from distml.protocol.contract import BadInput


def read(content: bytes | bytearray) -> Any:
    """Return the document in `content`.

    Raises:
        BadInput: it is empty, no JSON, or holds more than any request needs.
    """
    if not content:
        raise BadInput("the body is empty")
    most = limits.MAX_JSON_VALUES
    if len(content) > most and sum(map(content.count, (b",", b"[", b"{"))) > most:
        raise BadInput(f"the JSON holds more than {most:,} values, more than any request needs")
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"the body is not valid JSON: {error}") from None
