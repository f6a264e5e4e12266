"""Limits on headers and trailers, on a real connection."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from distml.protocol import limits
from distml.serving.http.connection import Connection

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@asynccontextmanager
async def connected(app: Callable) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Serve `app` on limited connections, and open one."""
    config = Config(app, http=Connection, log_config=None, timeout_keep_alive=60)
    config.load()
    loop, state = asyncio.get_running_loop(), ServerState()
    server = await loop.create_server(lambda: Connection(config, state, {}), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    yield reader, writer
    writer.close()
    server.close()


def app_with(*headers: tuple[bytes, bytes]) -> Callable:
    """Return an app that reads a request and answers 204."""

    async def app(scope: object, receive: Callable, send: Callable) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    return app


def answer_to(*parts: bytes) -> bytes:
    """Send `parts` over a limited connection; return all that the server answers until it closes the connection."""

    async def exchange() -> bytes:
        async with connected(app_with((b"connection", b"close"))) as (reader, writer):
            for part in parts:
                writer.write(part)
                await asyncio.sleep(0.01)
            return await asyncio.wait_for(reader.read(), 10)

    return asyncio.run(exchange())


def test_unfinished_headers_close_the_connection_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SECONDS_FOR_HEADERS", 0.1)
    assert answer_to() == answer_to(b"POST / HTTP/1.1\r\nHost: a\r\n") == answer_to(b"\r\n", b"\r\n") == b""


def test_the_deadline_of_headers_does_not_close_an_idle_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SECONDS_FOR_HEADERS", 0.1)

    async def ask_twice() -> list[bytes]:
        async with connected(app_with()) as (reader, writer):
            answers = []
            for _ in range(2):
                writer.write(GET)
                answers.append(await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10))
                await asyncio.sleep(0.3)
            return answers

    assert [answer.partition(b"\r\n")[0] for answer in asyncio.run(ask_twice())] == [b"HTTP/1.1 204 No Content"] * 2


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

        async with connected(app) as (_, writer):
            writer.write(GET * 2)
            await heard.get()
        return await asyncio.wait_for(heard.get(), 10)

    assert asyncio.run(hang_up()) == {"type": "http.disconnect"}
