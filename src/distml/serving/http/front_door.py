"""The HTTP front door before KServe's own routes: it answers inference within limits, and passes on no other POST.

KServe reads JSON only under one exact Content-Type, accepts bodies of any length, and answers 500 to most bodies that
it cannot read.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from distml.protocol import limits
from distml.protocol.contract import BadInput
from distml.serving import event_log, metrics
from distml.serving.admission import Overloaded
from distml.serving.predictor import Predictor
from distml.serving.release.served_version import OtherVersion, check_version

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

INFERENCE = re.compile(r"/(?:(v1)/models/([^/]+):predict|(v2)/models/([^/]+)(?:/versions/([^/]+))?/infer)")
_VERSION_PATH = re.compile(r"(/v2/models/[^/]+)/versions/([^/]+)(/ready)?")


class Refusal(Exception):
    """An answer other than 200: its status, the outcome for the metrics, and a message for the client."""

    def __init__(self, status: int, outcome: str, message: str):
        super().__init__(message)
        self.status = status
        self.outcome = outcome


class HungUp(Exception):
    """The client hung up before its whole request arrived."""


class FrontDoor:
    """An ASGI application around KServe's, `inner`."""

    def __init__(self, inner: Callable, predictor: Predictor):
        self._inner = inner
        self._predictor = predictor

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
        elif not path.isprintable():
            # KServe's routes ignore a final line feed, which would hide the path from the checks below.
            await self._refuse(Refusal(404, "not found", "there is no such path"), Body(receive), send)
        elif inference := INFERENCE.fullmatch(path):
            if scope["method"] == "POST":
                await self._infer(inference, dict(scope["headers"]), Body(receive), send)
            else:
                message = f"{path} accepts only POST, with the images in the body"
                await self._refuse(Refusal(405, "wrong method", message), Body(receive), send)
        elif scope["method"] == "POST":
            # KServe's other POST routes unload the model, or ask for what this model does not offer.
            await self._refuse(Refusal(404, "not found", f"POST {path} is not offered"), Body(receive), send)
        elif version_path := _VERSION_PATH.fullmatch(path):
            model, version, rest = version_path.groups(default="")
            try:
                check_version(version, self._predictor.version)
            except OtherVersion as error:
                await self._refuse(_refusal(error), Body(receive), send)
            else:
                await self._inner({**scope, "path": model + rest, "query_string": b""}, receive, send)
        else:
            # KServe would read a version from the query, and answer 501.
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
                # The traceback's frames would keep the body, which admission control no longer counts.
                refusal = _refusal(error).with_traceback(None)
            else:
                await self._send(send, 200, answer, json_length)
                return
            request.outcome = refusal.outcome
            await self._refuse(refusal, body, send)

    def _check_address(self, model: str, version: str | None) -> None:
        if model != self._predictor.model_name:
            raise Refusal(404, "not found", f"unknown model; this server serves {self._predictor.model_name}")
        check_version(version, self._predictor.version)

    async def _refuse(self, refusal: Refusal, body: "Body", send: Send) -> None:
        is_complete = await body.discard_rest()
        await self._send(send, refusal.status, orjson.dumps({"error": str(refusal)}), close=not is_complete)

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
            # Closing leaves an incomplete body unread, and sends the client to another server during draining.
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Body:
    """The body of a request, as it arrives; the client has SECONDS_FOR_BODY to send all of it."""

    def __init__(self, receive: Receive):
        self._receive = receive
        self._is_complete = False
        self._until = asyncio.get_running_loop().time() + limits.SECONDS_FOR_BODY

    async def read(self, count_bytes: Callable[[int], None]) -> bytes | bytearray:
        """Read the whole body; `count_bytes` gets the length of each part before the part is kept, and may raise."""
        content = bytearray()
        try:
            while not self._is_complete:
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
        return Refusal(503, "overloaded", "too many requests are waiting; retry in a second")
    event_log.failure("a request failed")
    return Refusal(500, "failed", "the server failed to answer; its log has the reason")
