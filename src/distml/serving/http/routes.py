"""The routes of models in TensorFlow Serving's REST API, which KServe's V1 is a part of, and in KServe's V2."""

import re
from functools import lru_cache
from typing import NamedTuple

# Verbs that POST asks for; GET asks for the others.
INFERENCE = frozenset({"predict", "classify", "regress", "infer"})
_V1 = re.compile(
    r"/(v1)/models/([^/:]+)(?:/(?:versions/([^/:]+)|labels/([^/:]+)))?(?::(predict|classify|regress)|/(metadata))?"
)
_V2 = re.compile(r"/(v2)/models/([^/]+)(?:/versions/([^/]+))?()(?:/(infer|ready))?()")


class Route(NamedTuple):
    """The parts of a path: a model, at most one of a version and a label, and a verb, "" for the model itself."""

    protocol: str
    model: str
    version: str | None
    label: str | None
    verb: str


@lru_cache(maxsize=256)
def parse(path: str) -> Route | None:
    """Return the route of a model that `path`, without trailing slashes, names; None if it names none."""
    if not (found := _V1.fullmatch(path) or _V2.fullmatch(path)):
        return None
    protocol, model, version, label, verb, other_verb = found.groups()
    return Route(protocol, model, version, label or None, verb or other_verb or "")
