"""Limits on headers and trailers, on a real connection."""

import asyncio
from collections.abc import Callable

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from distml.protocol import limits
from distml.serving.http.connection import Connection


def answer_to(*parts: bytes) -> bytes:
    """Send `parts` over a limited connection; return all that the server answers until it closes the connection."""

    async def app(scope: object, receive: Callable, send: Callable) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 204, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": b""})

    async def exchange() -> bytes:
        config = Config(app, http=Connection, log_config=None)
        config.load()
        loop, state = asyncio.get_running_loop(), ServerState()
        server = await loop.create_server(lambda: Connection(config, state, {}), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0.01)
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        server.close()
        return answer

    return asyncio.run(exchange())


def test_unfinished_headers_close_the_connection_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SECONDS_FOR_HEADERS", 0.1)
    assert answer_to() == answer_to(b"POST / HTTP/1.1\r\nHost: a\r\n") == answer_to(b"\r\n", b"\r\n") == b""


def test_the_header_limit_counts_trailers_but_not_the_body() -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\n"
    long = [b"A: ", *[b"a" * 2**14] * 5]
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
    for parts in ([head, *long], [chunked, *long]):
        assert answer_to(*parts).endswith(b'{"error":"the headers are longer than 65,536 bytes"}')
    assert answer_to(head + b"Content-Length: 81920\r\n\r\n", *[b"a" * 2**14] * 5).startswith(b"HTTP/1.1 204")


def test_a_pipelined_request_is_told_that_its_client_hung_up() -> None:
    async def hang_up() -> object:
        heard: asyncio.Queue[object] = asyncio.Queue()

        async def app(scope: object, receive: Callable, send: Callable) -> None:
            heard.put_nowait(await receive())
            heard.put_nowait(await receive())

        config = Config(app, http=Connection, log_config=None)
        config.load()
        loop, state = asyncio.get_running_loop(), ServerState()
        server = await loop.create_server(lambda: Connection(config, state, {}), "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
        await heard.get()
        writer.close()
        server.close()
        return await asyncio.wait_for(heard.get(), 10)

    assert asyncio.run(hang_up()) == {"type": "http.disconnect"}
