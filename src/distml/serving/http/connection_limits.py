"""uvicorn's HTTP protocol with limits on what is not a body; the front door sees a request only after its headers."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from distml.protocol import limits


class LimitedConnection(HttpToolsProtocol):
    """Refuses headers beyond MAX_BYTES_OF_HEADERS, trailers and the marks between chunks included, and slow ones."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._length = 0
        self._limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_limit()

    def data_received(self, data: bytes) -> None:
        self._length += len(data)
        super().data_received(data)
        if self._length > limits.MAX_BYTES_OF_HEADERS and not self.transport.is_closing():
            self.send_400_response(f"The headers are longer than {limits.MAX_BYTES_OF_HEADERS} bytes.")
        elif self._limit is None and (self.cycle is None or self.cycle.response_complete):
            self._start_limit()

    def on_headers_complete(self) -> None:
        self._stop_limit()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._length -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._length = 0
        super().on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_limit()
        super().connection_lost(exc)

    def _start_limit(self) -> None:
        self._limit = self.loop.call_later(limits.SECONDS_FOR_HEADERS, self.timeout_keep_alive_handler)

    def _stop_limit(self) -> None:
        if self._limit:
            self._limit.cancel()
            self._limit = None
