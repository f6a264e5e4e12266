"""A client that sends any bytes, and accepts only well-formed answers."""

import contextlib
import http.client
import json
import re
import socket
import struct
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import grpc

from support.predictor_process import Predictor

_STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) [ -~]+")
_HEADER = re.compile(rb"([a-z][a-z-]*): ([ -~]*)")
_PROGRAMMERS_WORDS = re.compile(r'Traceback|File "|\w(Error|Exception)\b|0x[0-9a-f]{6}|site-packages')
_SECONDS = 60
# A server that has not answered by then waits for the rest of the request.
_SECONDS_OF_SILENCE = 0.2


class Malformed(Exception):
    """An answer that breaks the protocol, or a refusal that is not one sentence."""


class Answer(NamedTuple):
    """An answer; `headers` have names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """One of the concurrent clients, with a connection of each kind."""

    def __init__(self, server: Predictor):
        self._address = "127.0.0.1", server.http_port
        self._library = http.client.HTTPConnection(*self._address, timeout=_SECONDS)
        self._kept: socket.socket | None = None
        options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", options)
        self.grpc_address = "127.0.0.1", server.grpc_port

    def close(self) -> None:
        self._library.close()
        self.channel.close()
        if self._kept:
            self._kept.close()

    def post(self, path: str, body: bytes, *headers: bytes) -> Answer:
        """Send a request over the kept connection."""
        head = [b"POST %s HTTP/1.1" % path.encode(), b"Host: a", b"Content-Length: %d" % len(body), *headers]
        if self._kept is None:
            self._kept = self._connect()
        self._kept.sendall(b"\r\n".join([*head, b"", body]))
        (answer,) = _read_answers(self._kept, ["POST"])
        if answer.headers.get("connection") == "close":
            self._kept.close()
            self._kept = None
        return answer

    def post_by_library(self, path: str, body: Any) -> Answer:
        """Send a request with http.client, in chunks if `body` is an iterator."""
        self._library.request("POST", path, body)
        response = self._library.getresponse()
        headers = {name.lower(): text for name, text in response.headers.items()}
        return _checked(Answer(response.status, headers, response.read()), "POST")

    def converse(self, parts: Iterable[bytes], methods: Sequence[str], pause: float = 0) -> list[Answer]:
        """Send `parts` over a new connection; return the answers to requests with `methods`, in order."""
        with self._sent(parts, pause) as connection:
            return _read_answers(connection, methods)

    def converse_to_the_end(self, parts: Iterable[bytes], may_wait: bool = False) -> list[Answer]:
        """Send `parts` over a new connection; return all answers until the server closes the connection.

        `may_wait` also ends when the server sends nothing.
        """
        with self._sent(parts) as connection:
            connection.settimeout(_SECONDS_OF_SILENCE if may_wait else _SECONDS)
            return _read_answers(connection, None, may_wait)

    def hang_up(self, parts: Iterable[bytes], reset: bool) -> None:
        """Send `parts` and close the connection without reading, by a reset if asked."""
        with self._connect() as connection:
            for part in parts:
                connection.sendall(part)
            if reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def _sent(self, parts: Iterable[bytes], pause: float = 0) -> socket.socket:
        connection = self._connect()
        # The server may have closed the connection before the last part.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
        return connection

    def _connect(self) -> socket.socket:
        return socket.create_connection(self._address, timeout=_SECONDS)


def _read_answers(connection: socket.socket, methods: Sequence[str] | None, may_wait: bool = False) -> list[Answer]:
    answers: list[Answer] = []
    received = bytearray()
    while methods is None or len(answers) < len(methods):
        method = methods[len(answers)] if methods else "GET"
        answer = _first_answer(received, method)
        if answer:
            answers.append(_checked(answer, method))
            continue
        try:
            part = connection.recv(2**16)
        except TimeoutError:
            if may_wait:
                break
            raise Malformed(f"after {len(answers)} answers no more than {bytes(received[:300])!r}") from None
        except ConnectionResetError:
            part = b""
        if not part and methods is None:
            break
        if not part:
            raise Malformed(f"after {len(answers)} answers the connection ends with {bytes(received[:300])!r}")
        received += part
    if received:
        raise Malformed(f"the answers go on with {bytes(received[:300])!r}")
    return answers


def _first_answer(received: bytearray, method: str) -> Answer | None:
    """Remove the first answer from `received` and return it; None if it is not complete."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    first, *lines = bytes(received[:end]).split(b"\r\n")
    status_line, headers = _STATUS_LINE.fullmatch(first), {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        if not header or header[1] in headers:
            raise Malformed(f"the header {line!r} is malformed or there twice")
        headers[header[1].decode()] = header[2].decode()
    if not status_line:
        raise Malformed(f"the status line is {first!r}")
    status = int(status_line[1])
    if status == 100:
        del received[: end + 4]
        return _first_answer(received, method)
    # A server that cannot parse a request does not know that its method is HEAD.
    length = 0 if status == 204 or (method == "HEAD" and status != 400) else int(headers.get("content-length", -1))
    if length < 0:
        raise Malformed(f"no length in {headers}")
    stop = end + 4 + length
    if len(received) < stop:
        return None
    answer = Answer(status, headers, bytes(received[end + 4 : stop]))
    del received[:stop]
    return answer


def _checked(answer: Answer, method: str) -> Answer:
    """Return `answer` if it is no failure, and one sentence if it is a refusal; raise Malformed otherwise."""
    status, headers, body = answer
    if status >= 500 and status != 503:
        raise Malformed(f"{status}: {body[:300]!r}")
    if status >= 400 and method != "HEAD":
        if headers.get("content-type") != "application/json":
            raise Malformed(f"{status} with {headers}: {body[:300]!r}")
        document = json.loads(body)
        if list(document) != ["error"]:
            raise Malformed(f"{status}: {body[:300]!r}")
        check_sentence(document["error"])
    return answer


def check_sentence(text: Any) -> None:
    """Raise Malformed if a refusal is not one sentence for a user."""
    if (
        not isinstance(text, str)
        or not 3 < len(text) < 500
        or not text.isprintable()
        or _PROGRAMMERS_WORDS.search(text)
    ):
        raise Malformed(f"the refusal is {text[:500]!r}")
