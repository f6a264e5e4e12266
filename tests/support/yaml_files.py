"""The project's YAML files, parsed, and the scripts in its image."""

import re
from pathlib import Path
from typing import Any

import yaml

from support.project import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
# Maps each module to its link in the image's root folder.
SCRIPTS = dict(re.findall(r"ln -s /opt/pipeline/src/(\w+)\.py /([\w-]+\.py)", DOCKERFILE))


def files() -> list[Path]:
    return sorted([*ROOT.glob("[!.]*.yaml"), *ROOT.glob("manifests/**/*.yaml")])


def documents(name: str) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all((ROOT / name).read_text()) if document]


def load(name: str) -> dict[str, Any]:
    (document,) = documents(name)
    return document


def pod_spec(name: str) -> dict[str, Any]:
    (document,) = (document for document in documents(name) if document["kind"] != "Service")
    spec = document["spec"]
    if document["kind"] == "TFJob":
        (spec,) = spec["tfReplicaSpecs"].values()
    return spec["template"]["spec"] if "template" in spec else spec
