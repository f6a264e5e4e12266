"""The versions of upstream parts: every file names the version of the table in docs/upgrading.md."""

import re
from pathlib import Path

import pytest

from support.project import ROOT

TABLE = ROOT / "docs/upgrading.md"
FOLDERS = ("docs/**/*.md", "manifests/**/*.yaml", "src/**/*.py", "tests/**/*.py")
SINGLE = ("*.md", "*.yaml", ".ci/run", "Dockerfile", "Makefile", "environment.sh", "pyproject.toml")
# Files that also name former versions.
HISTORY = {TABLE, ROOT / "CHANGELOG.md"}
FILES = sorted({path for pattern in FOLDERS + SINGLE for path in ROOT.glob(pattern)} - HISTORY - {Path(__file__)})
# Version numbers that are not an upstream part's: this project's own, invented ones, Pythons that a test imitates.
OTHERS = {
    "pyproject.toml": {"0.1.0"},
    "test_report.py": {"2.99.1", "3.99.2"},
    "test_run_identity.py": {"2.99.1", "3.99.2"},
    "test_scans.py": {"2.4.1"},
    "test_environment_python.py": {"3.12.9", "3.9.2", "2.7.18", "3.14.0"},
}
# Versions without the part's name before them: the part's name in the table, and a pattern that finds the version.
PINS = [
    ("Argo Workflows", r"argo-workflows\S*ref=v([\d.]+)"),
    ("Argo Workflows", r"(?:/workflow-controller\s+newTag: |argoexec:)v([\d.]+)"),
    ("training operator", r"training-operator\S*ref=v([\d.]+)"),
    ("KServe in the cluster", r"kserve/(?:kserve/|\S*ref=)v([\d.]+)"),
    ("KServe in the cluster", r"/install/v([\d.]+)/"),
    ("TensorFlow Serving, KServe's stock runtime", r"runtimeVersion: ([\d.]+)"),
    ("metrics-server, for kind", r"metrics-server/releases/download/v([\d.]+)"),
    ("Traefik's chart, for kind", r"traefik/traefik --version ([\d.]+)"),
]
# A name before a version, and the parts in the table that it may mean.
NAMES = {
    "Argo": ["Argo Workflows"],
    "Argo Workflows": ["Argo Workflows"],
    "cert-manager": ["cert-manager, Knative, Istio"],
    "Istio": ["cert-manager, Knative, Istio"],
    "Keras": ["TensorFlow, Keras"],
    "Knative": ["cert-manager, Knative, Istio"],
    "KServe": ["KServe in the cluster", "KServe's Python server"],
    "kubectl": ["kubectl"],
    "Kubernetes": ["Kubernetes"],
    "metrics-server": ["metrics-server, for kind"],
    "TensorFlow": ["TensorFlow, Keras", "TensorFlow Serving, KServe's stock runtime"],
    "TensorFlow Serving": ["TensorFlow Serving, KServe's stock runtime"],
    "Traefik": ["Traefik's chart, for kind"],
    "training operator": ["training operator"],
}


def rows() -> dict[str, str]:
    """Return the table's parts and their versions."""
    return dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|", TABLE.read_text(), re.MULTILINE))


def versions(*parts: str) -> set[str]:
    """Return the version numbers in the table's rows of these parts."""
    return {version for part in parts for version in re.findall(r"\d+(?:\.\d+)+", rows()[part])}


def unknown_versions(path: Path) -> set[str]:
    """Return the version numbers in a file that the table does not contain."""
    found = set(re.findall(r"(?<![\d.])\d+\.\d+\.\d+(?!\.?\d)", path.read_text()))
    return found - versions(*rows()) - OTHERS.get(path.name, set())


def test_each_version_number_in_a_file_is_in_the_version_table() -> None:
    assert {str(path.relative_to(ROOT)): unknown_versions(path) for path in FILES if unknown_versions(path)} == {}


@pytest.mark.parametrize(("part", "pattern"), PINS)
def test_a_version_without_a_parts_name_is_that_of_the_version_table(part: str, pattern: str) -> None:
    found = {version for path in FILES for version in re.findall(pattern, path.read_text())}
    assert found == {rows()[part].split()[0].removeprefix("v")}


@pytest.mark.parametrize("name", NAMES)
def test_a_version_after_a_parts_name_is_that_of_the_version_table(name: str) -> None:
    pattern = rf"\b{name}(?:'s)? v?(\d+(?:\.\d+)+)"
    found = {version for path in FILES for version in re.findall(pattern, path.read_text())}
    known = versions(*NAMES[name])
    assert [version for version in found if not any(f"{full}.".startswith(f"{version}.") for full in known)] == []


def test_the_training_operators_image_tag_is_in_the_version_table() -> None:
    (tag,) = re.findall(r"newTag: (.*)", (ROOT / "manifests/kubeflow-training/kustomization.yaml").read_text())
    assert f"`{tag}`" in TABLE.read_text()


def test_each_row_of_the_version_table_states_run_or_read() -> None:
    versions_only = TABLE.read_text().partition("\n## ")[0]
    tried = re.findall(r"^\| [^|]+ \| [^|]+ \| (\w+)", versions_only, re.MULTILINE)
    assert tried[0] == "tried"
    assert set(tried[1:]) == {"run", "read"}


def test_the_versions_of_python_packages_are_those_of_the_requirements() -> None:
    pins = dict(re.findall(r"^([\w-]+)==([\d.]+)", (ROOT / "requirements/run.in").read_text(), re.MULTILINE))
    assert rows()["TensorFlow, Keras"] == f"{pins['tensorflow']}, {pins['keras']}"
    assert rows()["KServe's Python server"] == pins["kserve"]
    pinned = dict(re.findall(r"^([\w-]+)==([\d.]+)", (ROOT / "requirements/run.txt").read_text(), re.MULTILINE))
    assert rows()["OpenSSF Model Signing, the format of signatures"] == pinned["model-signing"]
