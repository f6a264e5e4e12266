"""The API server accepts every YAML file and rejects a misspelt field."""

from typing import Any

import pytest

from cluster.conftest import COMPONENTS, FILES, FOLDERS, MISSPELT
from cluster.kube import ROOT

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("name", [*FILES, *FOLDERS, COMPONENTS])
def test_the_api_server_accepts_each_file(name: Any, server_errors: dict[str, str]) -> None:
    assert server_errors[name] == ""


def test_the_dry_runs_cover_every_file_and_every_folder() -> None:
    assert len(FILES) == 8
    folders = {str(path.parent.relative_to(ROOT)) for path in ROOT.glob("manifests/**/kustomization.yaml")}
    assert set(FOLDERS) == {folder for folder in folders if "/components/" not in folder}


@pytest.mark.parametrize(("name", "field"), MISSPELT.items())
def test_the_api_server_names_a_misspelt_field(name: Any, field: Any, server_errors: dict[str, str]) -> None:
    assert f'{field}s"' in server_errors[f"{name}, misspelt"]
    assert "unknown field" in server_errors[f"{name}, misspelt"]
