"""The front door before KServe's own routes: it answers inference, within limits, and lets what only reads through.

KServe reads JSON only under one exact Content-Type, takes bodies of any length, and answers most of what it cannot
read with 500.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from distml.protocol import limits
from distml.protocol.contract import MODEL_NAME, BadInput
from distml.serving import event_log, metrics
from distml.serving.admission import Overloaded
from distml.serving.predictor import Predictor
from distml.serving.release.served_version import OtherVersion, check_version

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

INFERENCE = re.compile(r"/(?:(v1)/models/([^/]+):predict|(v2)/models/([^/]+)(?:/versions/([^/]+))?/infer)")
_OF_A_VERSION = re.compile(r"(/v2/models/[^/]+)/versions/([^/]+)(/ready)?")


class Refusal(Exception):
    """An answer other than 200."""

    def __init__(self, status: int, outcome: str, sentence: str):
        super().__init__(sentence)
        self.status = status
        self.outcome = outcome


class HungUp(Exception):
    """The client left before its request was whole."""


class FrontDoor:
    """An ASGI application around another."""

    def __init__(self, inner: Callable, predictor: Predictor):
        self._inner = inner
        self._predictor = predictor

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
        elif not path.isprintable():
            # The routes behind would take a line feed at its end for nothing.
            await self._refuse(Refusal(404, "not found", "there is no such path"), Body(receive), send)
        elif inference := INFERENCE.fullmatch(path):
            if scope["method"] == "POST":
                await self._infer(inference, dict(scope["headers"]), Body(receive), send)
            else:
                sentence = f"{path} takes POST, with the images in the body"
                await self._refuse(Refusal(405, "wrong method", sentence), Body(receive), send)
        elif scope["method"] == "POST":
            # KServe's other ones take the model away, or are none that this model has an answer for.
            await self._refuse(Refusal(404, "not found", f"POST {path} is not offered"), Body(receive), send)
        elif of_a_version := _OF_A_VERSION.fullmatch(path):
            model, version, rest = of_a_version.groups(default="")
            try:
                check_version(version, self._predictor.version)
            except OtherVersion as error:
                await self._refuse(_refusal(error), Body(receive), send)
            else:
                await self._inner({**scope, "path": model + rest, "query_string": b""}, receive, send)
        else:
            # KServe would read a version from the query, and answer it with 501.
            await self._inner({**scope, "query_string": b""}, receive, send)

    async def _infer(self, inference: re.Match, headers: dict[bytes, bytes], body: "Body", send: Send) -> None:
        v1, v1_model, v2, v2_model, version = inference.groups()
        with metrics.Request(v1 or v2) as request:
            try:
                self._check_address(v1_model or v2_model, version)
                with self._predictor.admission.admit() as count_bytes:
                    content = await body.read(count_bytes)
                    if v1:
                        answer, json_length = await self._predictor.answer_v1(content)
                    else:
                        answer, json_length = await self._predictor.answer_v2(content, _json_length(headers), version)
            except HungUp:
                request.outcome = "hung up"
                return
            except Exception as error:
                # Its frames hold what has come of the body, which nobody counts from here on.
                refusal = _refusal(error).with_traceback(None)
            else:
                await self._send(send, 200, answer, json_length)
                return
            request.outcome = refusal.outcome
            await self._refuse(refusal, body, send)

    def _check_address(self, model: str, version: str | None) -> None:
        if model != MODEL_NAME:
            raise Refusal(404, "not found", f"there is no model of this name; the model is {MODEL_NAME}")
        check_version(version, self._predictor.version)

    async def _refuse(self, refusal: Refusal, body: "Body", send: Send) -> None:
        is_whole = await body.discard_rest()
        await self._send(send, refusal.status, orjson.dumps({"error": str(refusal)}), close=not is_whole)

    async def _send(
        self, send: Send, status: int, body: bytes, json_length: int | None = None, close: bool = False
    ) -> None:
        headers = [(b"content-length", b"%d" % len(body))]
        if json_length is None:
            headers.append((b"content-type", b"application/json"))
        else:
            headers.append((b"content-type", b"application/octet-stream"))
            headers.append((b"inference-header-content-length", b"%d" % json_length))
        if status == 503:
            headers.append((b"retry-after", b"1"))
        elif status == 405:
            headers.append((b"allow", b"POST"))
        if close or not self._predictor.ready:
            # The rest of a body must not be read for ever; when it drains, the next request should find another server.
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Body:
    """The body of a request, as it arrives; the client has SECONDS_FOR_BODY for all of it."""

    def __init__(self, receive: Receive):
        self._receive = receive
        self._is_whole = False
        self._until = asyncio.get_running_loop().time() + limits.SECONDS_FOR_BODY

    async def read(self, count_bytes: Callable[[int], None]) -> bytes | bytearray:
        """Read all of it; `count_bytes` gets the length of each part before it is kept, and may raise."""
        content = bytearray()
        try:
            while not self._is_whole:
                part = await self._next()
                if len(content) + len(part) > limits.MAX_BYTES_OF_BODY:
                    raise Refusal(413, "too long", f"the body is longer than {limits.MAX_BYTES_OF_BODY:,} bytes")
                count_bytes(len(part))
                content += part
        except TimeoutError:
            raise Refusal(
                408, "too slow", f"the body did not arrive within {limits.SECONDS_FOR_BODY} seconds"
            ) from None
        return content

    async def discard_rest(self) -> bool:
        """Read what is left and keep nothing, so that the client sees the answer; False when it takes too long."""
        try:
            while not self._is_whole:
                await self._next()
        except (TimeoutError, HungUp):
            pass
        return self._is_whole

    async def _next(self) -> bytes:
        async with asyncio.timeout_at(self._until):
            message = await self._receive()
        if message["type"] != "http.request":
            raise HungUp
        self._is_whole = not message.get("more_body")
        return message["body"]


def _json_length(headers: dict[bytes, bytes]) -> int | None:
    text = headers.get(b"inference-header-content-length")
    if text is None:
        return None
    if not text.isdigit() or len(text) > 9:
        raise BadInput("Inference-Header-Content-Length must be a number")
    return int(text)


def _refusal(error: Exception) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, BadInput):
        return Refusal(400, "bad input", str(error))
    if isinstance(error, OtherVersion):
        return Refusal(404, "not found", str(error))
    if isinstance(error, Overloaded):
        return Refusal(503, "overloaded", "too many requests are waiting; come again in a second")
    event_log.failure("a request failed")
    return Refusal(500, "failed", "the request could not be answered; the server's log says why")
