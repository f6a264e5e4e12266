"""The body of a request: read within limits of time and length, and inflated if it is compressed."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

from distml.protocol import limits
from distml.protocol.contract import BadInput
from distml.serving.http.refusals import HungUp, Refusal

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

# The window bits by which zlib knows each coding.
_CODINGS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
# Bytes that are inflated at once, before other requests get their turn.
_PIECE = 2**16


class Body:
    """The body of a request, as it arrives; the client has SECONDS_FOR_BODY to send all of it."""

    def __init__(self, receive: Receive):
        self._receive = receive
        self._is_complete = False
        self._until = asyncio.get_running_loop().time() + limits.SECONDS_FOR_BODY

    async def read(self, count_bytes: Callable[[int], None], coding: bytes = b"") -> bytes | bytearray:
        """Read the whole body, and inflate it if `coding`, its Content-Encoding in lower case, is not empty.

        `count_bytes` gets the length of each part before the part is kept, and may raise.
        """
        inflater = _inflater(coding)
        content = bytearray()
        received = 0
        try:
            while not self._is_complete:
                part = await self._next()
                received += len(part)
                for piece in inflater.pieces(part) if inflater else (part,):
                    if max(received, len(content) + len(piece)) > limits.MAX_BYTES_OF_BODY:
                        raise Refusal(413, "too long", f"the body is longer than {limits.MAX_BYTES_OF_BODY:,} bytes")
                    count_bytes(len(piece))
                    content += piece
                    if inflater:
                        await asyncio.sleep(0)
        except TimeoutError:
            raise Refusal(
                408, "too slow", f"the body did not arrive within {limits.SECONDS_FOR_BODY} seconds"
            ) from None
        if inflater and not inflater.is_complete:
            raise BadInput(f"the body ends before its {inflater.coding} data does; send all of it")
        return content

    async def discard_rest(self) -> bool:
        """Discard the rest of the body, so that the client can read the answer; return False if it stays incomplete."""
        try:
            while not self._is_complete:
                await self._next()
        except (TimeoutError, HungUp):
            pass
        return self._is_complete

    async def _next(self) -> bytes:
        async with asyncio.timeout_at(self._until):
            message = await self._receive()
        if message["type"] != "http.request":
            raise HungUp
        self._is_complete = not message.get("more_body")
        return message["body"]


def _inflater(coding: bytes) -> "_Inflater | None":
    if not coding:
        return None
    if coding not in _CODINGS:
        raise Refusal(
            415,
            "bad input",
            f"the Content-Encoding {coding.decode(errors='replace')[:40]!r} is not supported; send the body with gzip,"
            " deflate or none",
            accept_encoding="gzip, deflate",
        )
    return _Inflater(coding)


class _Inflater:
    """The state of inflating one body, which may consist of several gzip members."""

    def __init__(self, coding: bytes):
        self.coding = coding.decode()
        self._new = lambda: zlib.decompressobj(wbits=_CODINGS[coding])
        self._stream = self._new()
        self._members = 1

    @property
    def is_complete(self) -> bool:
        return self._stream.eof

    def pieces(self, part: bytes) -> Iterator[bytes]:
        """Yield what `part` inflates to, in pieces of limited length.

        Raises:
            BadInput: `part` is not compressed as announced.
        """
        is_full = False  # a full piece may leave data in the stream, even without input
        while part or is_full:
            if self._stream.eof:
                self._begin_member()
            try:
                piece = self._stream.decompress(part, _PIECE)
            except zlib.error:
                raise BadInput(f"the body is not {self.coding} data, as its Content-Encoding says") from None
            yield piece
            part = self._stream.unconsumed_tail or self._stream.unused_data
            is_full = len(piece) == _PIECE and not self._stream.eof

    def _begin_member(self) -> None:
        self._members += 1
        if self._members > limits.MAX_MEMBERS_OF_BODY:
            raise BadInput(
                f"the body has more than {limits.MAX_MEMBERS_OF_BODY} members of {self.coding}; compress it as one"
            )
        self._stream = self._new()
