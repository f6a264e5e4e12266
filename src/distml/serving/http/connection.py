"""uvicorn's HTTP protocol with limits on the headers, which uvicorn reads before it calls the front door.

Offers to upgrade are ignored, as RFC 9110 section 7.8 allows: Java's HttpClient and `curl --http2` offer h2c, and the
parser would otherwise drop the body of the request.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from distml.protocol import limits
from distml.serving.http import refusals


class Connection(HttpToolsProtocol):
    """A connection with a time limit for headers, and a size limit for headers, trailers and chunk framing."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.parser = _ParserWithoutUpgrades(self)
        self._bytes_outside_body = 0
        self._header_timer: asyncio.TimerHandle | None = None
        # The requests without an answer. When the client hangs up, uvicorn tells only the newest.
        self._unanswered: list[RequestResponseCycle] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_header_timer()

    def data_received(self, data: bytes) -> None:
        self._bytes_outside_body += len(data)
        super().data_received(data)
        if self._bytes_outside_body > limits.MAX_BYTES_OF_HEADERS and not self.transport.is_closing():
            self.send_400_response(f"the headers are longer than {limits.MAX_BYTES_OF_HEADERS:,} bytes")
        elif self._header_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._start_header_timer()

    def on_headers_complete(self) -> None:
        if not self.has_ignorable_offer():
            self._stop_header_timer()
            super().on_headers_complete()
            _Answer.of(self.cycle)
            self._unanswered = [cycle for cycle in self._unanswered if not cycle.response_complete]
            self._unanswered.append(self.cycle)

    def on_body(self, body: bytes) -> None:
        self._bytes_outside_body -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.has_ignorable_offer():
            self._bytes_outside_body = 0
            super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_header_timer()
        for cycle in self._unanswered:
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer 400 in the same shape as the front door, and close the connection."""
        body = refusals.body(msg)
        head = b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: %d\r\n" % len(body)
        self.transport.write(head + b"connection: close\r\n\r\n" + body)
        self.transport.close()

    def has_ignorable_offer(self) -> bool:
        """Return whether the request that is being parsed offers to upgrade; CONNECT is an upgrade by itself."""
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    def head_without_offer(self) -> bytes:
        """Return the head of the request that is being parsed, without its header Upgrade."""
        head = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())]
        head += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([*head, b"", b""])

    def _start_header_timer(self) -> None:
        self._header_timer = self.loop.call_later(limits.SECONDS_FOR_HEADERS, self.timeout_keep_alive_handler)

    def _stop_header_timer(self) -> None:
        if self._header_timer:
            self._header_timer.cancel()
            self._header_timer = None


class _Answer:
    """The transport of one answer, which sends its head together with the first part of its body.

    uvicorn writes them one after the other: two system calls, and the client wakes up twice.
    """

    def __init__(self, transport: asyncio.Transport, finish: Callable[[], None]):
        self._transport = transport
        self._finish = finish
        self._head: bytes | None = None

    @classmethod
    def of(cls, cycle: RequestResponseCycle) -> None:
        """Give a request and its answer this transport."""
        answer = cls(cycle.transport, cycle.on_response)
        cycle.transport, cycle.on_response = answer, answer.finish  # type: ignore[assignment]

    def write(self, data: bytes) -> None:
        """Keep the head, which is written first; "100 Continue" is not an answer."""
        if self._head is None and not data.startswith(b"HTTP/1.1 100 "):
            self._head = data
        else:
            self._transport.write((self._head or b"") + data)
            self._head = self._head and b""

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def finish(self) -> None:
        self._flush()
        self._finish()

    def _flush(self) -> None:
        if self._head:
            self._transport.write(self._head)
            self._head = b""


class _ParserWithoutUpgrades(httptools.HttpRequestParser):
    """A parser that parses a request with an offer to upgrade once more, without the offer."""

    def __init__(self, connection: Connection):
        super().__init__(connection)
        self.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own parser
        self._connection = connection

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]
        parse = super().feed_data
        while True:
            try:
                return parse(data)
            except httptools.HttpParserUpgrade as offer:
                if not self._connection.has_ignorable_offer():
                    return  # what follows CONNECT is not HTTP
                data = self._connection.head_without_offer() + data[offer.args[0] :]
                # With `Connection: close`, the parser of the offer would discard all that follows.
                self._connection.parser = _ParserWithoutUpgrades(self._connection)
                parse = super(_ParserWithoutUpgrades, self._connection.parser).feed_data
