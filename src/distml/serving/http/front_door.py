"""The HTTP front door before KServe's own routes: it answers inference within limits, and passes on no other POST.

KServe reads JSON only under one exact Content-Type, accepts bodies of any length, and answers 500 to most bodies that
it cannot read.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from distml.protocol import v1, v1_status
from distml.protocol.contract import BadInput
from distml.serving.http import refusals, routes
from distml.serving.http.body import Body, Receive
from distml.serving.http.refusals import HungUp, Refusal, refusal_of, shown
from distml.serving.http.routes import Route
from distml.serving.monitoring import metrics
from distml.serving.page.page import Page, wants
from distml.serving.predictor import Predictor

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_JSON = (b"content-type", b"application/json")


class FrontDoor:
    """An ASGI application around KServe's, `inner`, with or without the page."""

    def __init__(self, inner: Callable, predictor: Predictor, page: Page | None = None):
        self._inner = inner
        self._predictor = predictor
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        path = scope["path"].rstrip("/") or "/"
        route = routes.parse(path)
        if route and route.verb in routes.INFERENCE and scope["method"] == "POST":
            await self._infer(route, _joined(scope["headers"]), Body(receive), send)
            return
        try:
            passed_on = await self._answer(route, {**scope, "path": path}, send)
        except Exception as error:
            await self._refuse(refusal_of(error), Body(receive), send)
        else:
            if passed_on:
                await self._inner(passed_on, receive, _with_vary(send) if self._page and path == "/" else send)

    async def _infer(self, route: Route, headers: dict[bytes, bytes], body: Body, send: Send) -> None:
        with metrics.Request(route.protocol) as request:
            try:
                self._predictor.check_address(route.model, route.version, route.label)
                if route.verb in v1.NOT_OFFERED:
                    raise BadInput(v1.NOT_OFFERED[route.verb])
                with self._predictor.admission.admit() as count_bytes:
                    content = await body.read(count_bytes, _coding(headers))
                    if route.protocol == "v1":
                        answer, json_length = await self._predictor.answer_v1(content, route.version), None
                    else:
                        answer, json_length = await self._predictor.answer_v2(
                            content, _json_length(headers), route.version
                        )
            except HungUp:
                request.outcome = "hung up"
                return
            except Exception as error:
                # The traceback's frames would keep the body, which admission control no longer counts.
                refusal = refusal_of(error).with_traceback(None)
            else:
                await self._send(send, 200, answer, _content_headers(json_length))
                return
            request.outcome = refusal.outcome
            await self._refuse(refusal, body, send)

    async def _answer(self, route: Route | None, scope: Scope, send: Send) -> Scope | None:
        """Answer a request for anything but inference; return the scope if KServe's routes have to answer."""
        method, path = scope["method"], scope["path"]
        if not route and path not in routes.OF_THE_SERVER:
            raise Refusal(404, "not found", f"{method} {shown(path)} is not offered; /openapi.json has the routes")
        methods = ["POST"] if route and route.verb in routes.INFERENCE else ["GET", "HEAD"]
        allow = ", ".join([*methods, "OPTIONS"])
        if method == "OPTIONS":
            await self._send(send, 204, b"", [(b"allow", allow.encode())])
        elif method not in methods:
            raise Refusal(405, "wrong method", f"{shown(path)} does not accept {method}, only {allow}", allow=allow)
        elif route and route.protocol == "v1":
            await self._send(send, 200, orjson.dumps(self._v1_document(route)), [_JSON])
        elif self._page and path == "/" and wants(_joined(scope["headers"]).get(b"accept")):
            headers, content = self._page.answer(self._predictor.version)
            await self._send(send, 200, content, headers)
        else:
            # uvicorn sends no body in answer to HEAD. KServe would read a version from the query, and answer 501.
            return {**scope, "method": "GET", "path": self._path_without_version(route, path), "query_string": b""}
        return None

    def _v1_document(self, route: Route) -> dict[str, Any]:
        model, releases = self._predictor.spec, [*self._predictor.releases]
        # A version that is on trial or rejected has a status too, though no other request may name it.
        state = v1_status.status_of(route.version or str(model.version), model, releases)
        self._predictor.check_address(route.model, None if state and not route.verb else route.version, route.label)
        if route.verb == "metadata":
            return v1_status.metadata(model)
        if route.verb == "drift":
            return self._predictor.window.look().to_json()
        if not self._predictor.ready:
            raise Refusal(503, "not ready", f"the model {model.name} is not ready", retry_after="1")
        if state and (route.version or route.label):
            return state
        states = v1_status.status(model, releases)
        return {"name": model.name, "ready": True, **states, "releases": v1_status.stages(releases)}

    def _path_without_version(self, route: Route | None, path: str) -> str:
        if not route:
            return path
        self._predictor.check_address(route.model, route.version)
        return f"/v2/models/{route.model}" + (f"/{route.verb}" if route.verb else "")

    async def _refuse(self, refusal: Refusal, body: Body, send: Send) -> None:
        is_complete = await body.discard_rest()
        await self._send(
            send, refusal.status, refusals.body(str(refusal)), [_JSON, *refusal.headers], close=not is_complete
        )

    async def _send(self, send: Send, status: int, body: bytes, headers: Headers, close: bool = False) -> None:
        if status != 204:
            headers = [(b"content-length", b"%d" % len(body)), *headers]
        if close or not self._predictor.ready:
            # Closing leaves an incomplete body unread, and sends the client to another server during draining.
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def _content_headers(json_length: int | None) -> Headers:
    if json_length is None:
        return [_JSON]
    return [(b"content-type", b"application/octet-stream"), (b"inference-header-content-length", b"%d" % json_length)]


def _with_vary(send: Send) -> Send:
    """Return `send` for the other answer at the page's path, so that no cache gives one in place of the other."""

    async def send_with_vary(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"vary", b"accept")]
        await send(message)

    return send_with_vary


def _joined(headers: Headers) -> dict[bytes, bytes]:
    """Return the headers by their names; the values of repeated ones are joined by commas, as RFC 9110 defines."""
    joined = dict(headers)
    if len(joined) < len(headers):
        for name in joined:
            joined[name] = b", ".join(value for each, value in headers if each == name)
    return joined


def _coding(headers: dict[bytes, bytes]) -> bytes:
    """Return the coding of the body, those of its transfer included except chunked, which uvicorn has decoded."""
    codings = headers.get(b"content-encoding", b"") + b"," + headers.get(b"transfer-encoding", b"")
    names = (coding.strip() for coding in codings.lower().split(b","))
    return b", ".join(name for name in names if name not in (b"", b"identity", b"chunked"))


def _json_length(headers: dict[bytes, bytes]) -> int | None:
    text = headers.get(b"inference-header-content-length")
    if text is None:
        return None
    if not text.isdigit() or len(text) > 9:
        raise BadInput("Inference-Header-Content-Length must be a number")
    return int(text)
