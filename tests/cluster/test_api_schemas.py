"""The API server takes every YAML file, and would not take a misspelt one."""

from typing import Any

import pytest

from cluster.conftest import COMPONENTS, FILES, FOLDERS, MISSPELT
from cluster.kube import ROOT

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("name", [*FILES, *FOLDERS, COMPONENTS])
def test_the_api_server_takes(name: Any, objections: dict[str, str]) -> None:
    assert objections[name] == ""


def test_every_file_and_every_folder_is_asked_about() -> None:
    assert len(FILES) == 8
    folders = {str(path.parent.relative_to(ROOT)) for path in ROOT.glob("manifests/**/kustomization.yaml")}
    assert set(FOLDERS) == {folder for folder in folders if "/components/" not in folder}


@pytest.mark.parametrize(("name", "field"), MISSPELT.items())
def test_the_api_server_names_a_misspelt_field(name: Any, field: Any, objections: dict[str, str]) -> None:
    assert f'{field}s"' in objections[f"{name}, misspelt"]
    assert "unknown field" in objections[f"{name}, misspelt"]
