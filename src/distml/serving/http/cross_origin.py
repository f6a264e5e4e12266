"""CORS: which pages of other origins may read the predictor's answers in a browser."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from distml.serving.http import refusals


class CrossOrigin(CORSMiddleware):
    """Starlette's middleware with the methods and headers of the predictor's routes."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]):
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=["GET", "HEAD", "POST"],
            allow_headers=["*"],
            expose_headers=["inference-header-content-length", "retry-after"],
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Return the answer to a preflight request, a refusal in the shape of all others."""
        response = super().preflight_response(request_headers)
        if response.status_code == 200:
            return response
        headers = {name: text for name, text in response.headers.items() if not name.startswith("content-")}
        sentence = "this origin, method or header is not allowed; the server's option --cors-origins names the origins"
        return Response(refusals.body(sentence), response.status_code, headers, "application/json")
