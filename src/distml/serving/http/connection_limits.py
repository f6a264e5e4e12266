"""uvicorn's HTTP protocol with limits on the headers, which uvicorn reads before it calls the front door."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from distml.protocol import limits


class LimitedConnection(HttpToolsProtocol):
    """A connection with a time limit for headers, and a size limit for headers, trailers and chunk framing."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._bytes_outside_body = 0
        self._header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_header_timer()

    def data_received(self, data: bytes) -> None:
        self._bytes_outside_body += len(data)
        super().data_received(data)
        if self._bytes_outside_body > limits.MAX_BYTES_OF_HEADERS and not self.transport.is_closing():
            self.send_400_response(f"The headers are longer than {limits.MAX_BYTES_OF_HEADERS} bytes.")
        elif self._header_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._start_header_timer()

    def on_headers_complete(self) -> None:
        self._stop_header_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._bytes_outside_body -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._bytes_outside_body = 0
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_header_timer()
        super().connection_lost(exc)

    def _start_header_timer(self) -> None:
        self._header_timer = self.loop.call_later(limits.SECONDS_FOR_HEADERS, self.timeout_keep_alive_handler)

    def _stop_header_timer(self) -> None:
        if self._header_timer:
            self._header_timer.cancel()
            self._header_timer = None
