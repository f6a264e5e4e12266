"""The API server accepts every YAML file and rejects a misspelt field."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster import indexed_jobs, schemas, tfjobs
from cluster.conftest import COMPONENTS, FILES, FOLDERS, MISSPELT
from cluster.kube import ROOT

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("name", [*FILES, *FOLDERS, COMPONENTS])
def test_the_api_server_accepts_each_file(name: Any, server_errors: dict[str, str]) -> None:
    assert server_errors[name] == ""


def test_the_dry_runs_cover_every_file_and_every_folder() -> None:
    assert len(FILES) == 12
    folders = {str(path.parent.relative_to(ROOT)) for path in ROOT.glob("manifests/**/kustomization.yaml")}
    # The cluster of the tests has no Prometheus operator.
    assert set(FOLDERS) == {folder for folder in folders if "/components/" not in folder} - {"manifests/monitoring"}


@pytest.mark.parametrize(("name", "field"), MISSPELT.items())
def test_the_api_server_names_a_misspelt_field(name: Any, field: Any, server_errors: dict[str, str]) -> None:
    assert f'{field}s"' in server_errors[f"{name}, misspelt"]
    assert "unknown field" in server_errors[f"{name}, misspelt"]


def test_the_components_change_the_claim_and_both_training_jobs(tmp_path: Path) -> None:
    rendered = {document["kind"]: document for document in yaml.safe_load_all(schemas.with_components(tmp_path))}
    assert rendered["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]
    for pod in (tfjobs.pod(rendered["TFJob"]), indexed_jobs.pod(rendered["Job"])):
        (worker,) = pod["containers"]
        assert worker["image"] == "kubeflow/multi-worker-strategy:v0.1-gpu"
        assert worker["resources"]["limits"] == {"cpu": "1", "memory": "8Gi", "nvidia.com/gpu": 1}
