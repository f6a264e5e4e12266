"""The routes of models in TensorFlow Serving's REST API, which KServe's V1 is a part of, and in KServe's V2."""

import re
from typing import NamedTuple

from distml.protocol.v1 import NOT_OFFERED

_V1_INFERENCE = ("predict", *NOT_OFFERED)
# Verbs that POST asks for; GET asks for the others.
INFERENCE = frozenset({*_V1_INFERENCE, "infer"})
# Other paths, all for GET.
OF_THE_SERVER = frozenset(
    {"/", "/metrics", "/openapi.json", "/v1/models", "/v2", "/v2/models", "/v2/health/live", "/v2/health/ready"}
)
_V1 = re.compile(
    r"/v1/models/(?P<model>[^/:]+)(?:/versions/(?P<version>[^/:]+)|/labels/(?P<label>[^/:]+))?"
    rf"(?:(?P<verb>:(?:{'|'.join(_V1_INFERENCE)})|/metadata|/drift))?"
)
_V2 = re.compile(r"/v2/models/(?P<model>[^/]+)(?:/versions/(?P<version>[^/]+))?(?P<verb>/infer|/ready)?")


class Route(NamedTuple):
    """The parts of a path: a model, at most one of a version and a label, and a verb, "" for the model itself."""

    protocol: str
    model: str
    version: str | None
    label: str | None
    verb: str


def parse(path: str) -> Route | None:
    """Return the route of a model that `path`, without trailing slashes, names; None if it names none."""
    if found := _V1.fullmatch(path):
        return Route("v1", found["model"], found["version"], found["label"], (found["verb"] or "")[1:])
    if found := _V2.fullmatch(path):
        return Route("v2", found["model"], found["version"], None, (found["verb"] or "")[1:])
    return None
