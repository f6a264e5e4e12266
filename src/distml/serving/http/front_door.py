"""The HTTP front door before KServe's own routes: it answers inference within limits, and passes on no other POST.

KServe reads JSON only under one exact Content-Type, accepts bodies of any length, and answers 500 to most bodies that
it cannot read.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from distml.protocol import v1, v1_status
from distml.protocol.contract import BadInput
from distml.serving import metrics
from distml.serving.http import routes
from distml.serving.http.body import Body, Receive
from distml.serving.http.refusals import HungUp, Refusal, refusal_of, shown
from distml.serving.http.routes import Route
from distml.serving.page import page
from distml.serving.page.page import Page
from distml.serving.predictor import Predictor
from distml.serving.release.served_version import OtherVersion, check_version

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

# TensorFlow Serving's customary label for the version that answers.
_LABEL = "stable"
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
            await self._infer(route, dict(scope["headers"]), Body(receive), send)
            return
        try:
            passed_on = await self._answer(route, {**scope, "path": path}, send)
        except Exception as error:
            await self._refuse(refusal_of(error), Body(receive), send)
        else:
            if passed_on:
                await self._inner(passed_on, receive, send)

    async def _infer(self, route: Route, headers: dict[bytes, bytes], body: Body, send: Send) -> None:
        with metrics.Request(route.protocol) as request:
            try:
                wanted = self._wanted_version(route)
                if route.verb in v1.NOT_OFFERED:
                    raise BadInput(v1.NOT_OFFERED[route.verb])
                with self._predictor.admission.admit() as count_bytes:
                    content = await body.read(count_bytes, headers.get(b"content-encoding", b""))
                    if route.protocol == "v1":
                        answer, json_length = await self._predictor.answer_v1(content, wanted), None
                    else:
                        answer, json_length = await self._predictor.answer_v2(content, _json_length(headers), wanted)
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

    def _wanted_version(self, route: Route) -> str | None:
        """Return the version that the path names, or None if the path leaves it open.

        Raises:
            Refusal: another model.
            OtherVersion: a version or label that is not served.
        """
        served = self._predictor.version
        if route.model != self._predictor.model_name:
            raise Refusal(404, "not found", f"unknown model; this server serves {self._predictor.model_name}")
        if route.label not in (None, _LABEL):
            raise OtherVersion(f"no version has this label; the label {_LABEL} names version {served.number}")
        check_version(route.version, served)
        return route.version

    async def _answer(self, route: Route | None, scope: Scope, send: Send) -> Scope | None:
        """Answer a request for anything but inference; return the scope if KServe's routes have to answer."""
        method, path = scope["method"], scope["path"]
        if not path.isprintable():
            # KServe's routes ignore a final line feed, which would hide the path from the checks here.
            raise Refusal(404, "not found", "there is no such path")
        allowed = "POST" if route and route.verb in routes.INFERENCE else "GET, HEAD"
        if method == "OPTIONS":
            await self._send(send, 204, b"", [(b"allow", f"{allowed}, OPTIONS".encode())])
        elif allowed == "POST":
            sentence = f"{shown(path)} accepts only POST, with the images in the body"
            raise Refusal(405, "wrong method", sentence, allow="POST")
        elif method == "POST":
            # KServe's other POST routes unload the model, or ask for what this model does not offer.
            raise Refusal(404, "not found", f"POST {shown(path)} is not offered")
        elif method not in ("GET", "HEAD"):
            raise Refusal(405, "wrong method", f"{shown(path)} does not accept {method}", allow=allowed)
        elif route and route.protocol == "v1":
            await self._send(send, 200, orjson.dumps(self._v1_document(route)), [_JSON])
        elif self._page and path == "/" and page.wants(dict(scope["headers"]).get(b"accept")):
            headers, content = self._page.answer(self._predictor.version)
            await self._send(send, 200, content, headers)
        else:
            # uvicorn sends no body in answer to HEAD. KServe would read a version from the query, and answer 501.
            return {**scope, "method": "GET", "path": self._path_without_version(route, path), "query_string": b""}
        return None

    def _v1_document(self, route: Route) -> dict[str, Any]:
        self._wanted_version(route)
        model = self._predictor.spec
        if route.verb == "metadata":
            return v1_status.metadata(model)
        if not self._predictor.ready:
            raise Refusal(503, "not ready", f"the model {model.name} is not ready", retry_after="1")
        if route.version or route.label:
            return v1_status.status(model)
        return {"name": model.name, "ready": True, **v1_status.status(model)}

    def _path_without_version(self, route: Route | None, path: str) -> str:
        if not route:
            return path
        self._wanted_version(route)
        return f"/v2/models/{route.model}" + (f"/{route.verb}" if route.verb else "")

    async def _refuse(self, refusal: Refusal, body: Body, send: Send) -> None:
        is_complete = await body.discard_rest()
        content = orjson.dumps({"error": str(refusal)})
        await self._send(send, refusal.status, content, [_JSON, *refusal.headers], close=not is_complete)

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


def _json_length(headers: dict[bytes, bytes]) -> int | None:
    text = headers.get(b"inference-header-content-length")
    if text is None:
        return None
    if not text.isdigit() or len(text) > 9:
        raise BadInput("Inference-Header-Content-Length must be a number")
    return int(text)
