"""Routes of models, from a path, and what the front door makes of any path."""

import asyncio
from collections.abc import MutableMapping
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distml.protocol.contract import ModelSpec
from distml.serving.admission import Admission
from distml.serving.http import routes
from distml.serving.http.front_door import FrontDoor

PARTS = [
    "/",
    "v1",
    "v2",
    "models",
    "a",
    "versions",
    "labels",
    "3",
    ":predict",
    ":",
    "infer",
    "metadata",
    "\n",
    "..",
    "ä",
]
PATHS = st.text() | st.lists(st.sampled_from(PARTS) | st.text(max_size=2)).map("".join)
METHODS = st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "PUT", "CONNECT", "", "ä"])


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v1/models/a", ("v1", "a", None, None, "")),
        ("/v1/models/a:predict", ("v1", "a", None, None, "predict")),
        ("/v1/models/a/metadata", ("v1", "a", None, None, "metadata")),
        ("/v1/models/a/drift", ("v1", "a", None, None, "drift")),
        ("/v1/models/a/versions/3", ("v1", "a", "3", None, "")),
        ("/v1/models/a/versions/3:predict", ("v1", "a", "3", None, "predict")),
        ("/v1/models/a/versions/3/metadata", ("v1", "a", "3", None, "metadata")),
        ("/v1/models/a/labels/stable:classify", ("v1", "a", None, "stable", "classify")),
        ("/v2/models/a", ("v2", "a", None, None, "")),
        ("/v2/models/a/infer", ("v2", "a", None, None, "infer")),
        ("/v2/models/a/versions/3/ready", ("v2", "a", "3", None, "ready")),
    ],
)
def test_a_path_names_a_model_a_version_and_a_verb(path: str, route: tuple) -> None:
    assert routes.parse(path) == route


@pytest.mark.parametrize(
    "path",
    ["/", "/v1/models", "/v1/models/a:explain", "/v1/models/a/b", "/v2/models/a/infer/b", "/v1/models/a:predict\n"],
)
def test_other_paths_name_no_model(path: str) -> None:
    assert routes.parse(path) is None


@given(PATHS)
def test_any_path_names_a_model_with_one_verb_or_none(path: str) -> None:
    if route := routes.parse(path):
        assert path.startswith(f"/{route.protocol}/models/{route.model}") and path.endswith(route.verb)
        assert "/" not in route.model and None in (route.version, route.label)


def statuses(path: str, method: str) -> list[int]:
    """Return the statuses of the front door's answers; 0 for a request that goes on to KServe's routes."""
    model = {"model_name": "a", "version": SimpleNamespace(number=3), "spec": ModelSpec("a", 3, [])}
    predictor: Any = SimpleNamespace(**model, ready=True, admission=Admission())
    found = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{", "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        found.extend([message["status"]] if "status" in message else [])

    async def kserve(scope: MutableMapping[str, Any], *_: object) -> None:
        assert scope["method"] == "GET" and scope["path"].isprintable() and not scope["query_string"]
        found.append(0)

    async def answer(body: bytes, *_: object) -> tuple[bytes, None]:
        return b"{}", None

    predictor.answer_v1 = predictor.answer_v2 = answer
    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b"a"}
    asyncio.run(FrontDoor(kserve, predictor)(scope, receive, send))
    return found


@settings(max_examples=300, deadline=None)
@given(PATHS, METHODS)
def test_any_path_gets_one_answer_by_any_method(path: str, method: str) -> None:
    (status,) = statuses(path, method)
    assert status in (0, 200, 204, 400, 404, 405)
