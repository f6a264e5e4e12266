"""Each version of an upstream part is the same wherever it stands, and docs/upgrading.md tells it."""

import re

import pytest

from support.project import ROOT

ARGO, OPERATOR = "manifests/argo-workflows/*.yaml", "manifests/kubeflow-training/*.yaml"
SCHEMAS, SERVICES = "tests/cluster/schemas.py", "*inference-service*.yaml"
# What docs/upgrading.md calls it; a pattern around the version; where it occurs, and how often.
PINS = [
    ("Argo Workflows", r"argo-workflows\S*ref=v([\d.]+)", (ARGO, SCHEMAS), 4),
    ("Argo Workflows", r"(?:newTag: |argoexec:)v([\d.]+)", (ARGO,), 2),
    ("training operator", r"training-operator\S*ref=v([\d.]+)", (OPERATOR, SCHEMAS), 2),
    ("KServe in the cluster", r"kserve/(?:kserve/|\S*ref=)v([\d.]+)", ("README.md", SCHEMAS), 3),
    ("KServe in the cluster", r"install/v([\d.]+)/|need KServe v([\d.]+) ", ("README.md",), 3),
    ("TensorFlow Serving, KServe's stock runtime", r"runtimeVersion: ([\d.]+)", ("README.md", SERVICES), 5),
    ("kubectl", r"kubectl ([\d.]+) or later", ("README.md",), 1),
    ("metrics-server, for kind", r"metrics-server/releases/download/v([\d.]+)", ("README.md",), 1),
    ("Traefik's chart, for kind", r"traefik/traefik --version ([\d.]+)", ("README.md",), 1),
]


def rows() -> dict[str, str]:
    table = (ROOT / "docs/upgrading.md").read_text()
    return dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|", table, re.MULTILINE))


@pytest.mark.parametrize(("part", "pattern", "files", "count"), PINS)
def test_a_version_is_the_same_wherever_it_stands(part, pattern, files, count):
    texts = [path.read_text() for pattern_of_files in files for path in sorted(ROOT.glob(pattern_of_files))]
    found = ["".join(match.groups("")) for text in texts for match in re.finditer(pattern, text)]
    assert len(found) == count
    assert set(found) == {rows()[part].split()[0].removeprefix("v")}


def test_tensorflow_and_keras_are_those_of_the_requirements():
    pins = dict(re.findall(r"^([\w-]+)==([\d.]+)", (ROOT / "requirements.in").read_text(), re.MULTILINE))
    assert rows()["TensorFlow, Keras"] == f"{pins['tensorflow']}, {pins['keras']}"
    assert rows()["KServe's Python server"] == pins["kserve"]
