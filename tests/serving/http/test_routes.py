"""Routes of models, from a path."""

import pytest

from distml.serving.http import routes


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v1/models/a", ("v1", "a", None, None, "")),
        ("/v1/models/a:predict", ("v1", "a", None, None, "predict")),
        ("/v1/models/a/metadata", ("v1", "a", None, None, "metadata")),
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
