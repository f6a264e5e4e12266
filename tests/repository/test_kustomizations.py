"""The kustomizations: remote bases are pinned, patches are explained and apply. No cluster is needed."""

import re
from typing import Any

import yaml

from support.project import ROOT
from support.yaml_files import load, pod_spec

KUSTOMIZATIONS = {
    "kustomization.yaml",
    "manifests/kustomization.yaml",
    "manifests/argo-workflows/kustomization.yaml",
    "manifests/components/gpu/kustomization.yaml",
    "manifests/components/read-write-many/kustomization.yaml",
    "manifests/kubeflow-training/kustomization.yaml",
    "manifests/pipeline/kustomization.yaml",
    "manifests/serving/kustomization.yaml",
}


def test_remote_bases_and_their_images_are_pinned() -> None:
    found = {str(path.relative_to(ROOT)) for path in ROOT.glob("**/kustomization.yaml") if ".venv" not in path.parts}
    assert found == KUSTOMIZATIONS
    remote = [
        resource
        for name in KUSTOMIZATIONS
        for resource in load(name).get("resources", [])
        if resource.startswith("https://")
    ]
    assert len(remote) == 4
    assert all(re.search(r"\?timeout=120s&ref=v\d+\.\d+\.\d+$", resource) for resource in remote)
    tags = [image["newTag"] for name in KUSTOMIZATIONS for image in load(name).get("images", [])]
    assert len(tags) == 3
    assert "latest" not in tags


def test_every_patch_has_a_comment_above_it() -> None:
    count = 0
    for name in KUSTOMIZATIONS:
        text = (ROOT / name).read_text()
        if "/components/" in name:  # the file's header explains its only patch
            assert len(load(name)["patches"]) == 1
            continue
        patches = text.partition("\npatches:\n")[2].splitlines()
        for before, line in zip(["", *patches], patches, strict=False):
            if re.match(r"  - ", line):
                count += 1
                assert before.startswith("  # "), (name, line)
    assert count == 6


def test_the_components_patch_existing_fields() -> None:
    limits = pod_spec("multi-worker-tfjob.yaml")["containers"][0]["resources"]["limits"]
    (gpu,) = load("manifests/components/gpu/kustomization.yaml")["patches"]
    patched = {}
    for operation in yaml.safe_load(gpu["patch"]):
        target: Any = load("multi-worker-tfjob.yaml")
        *parents, key = operation["path"].strip("/").split("/")
        for part in parents:
            target = target[int(part)] if part.isdecimal() else target[part]
        assert target == limits
        patched[key.replace("~1", "/")] = operation["value"]
    assert patched == {"nvidia.com/gpu": 1, "memory": "8Gi"}
    (many,) = load("manifests/components/read-write-many/kustomization.yaml")["patches"]
    assert yaml.safe_load(many["patch"]) == [{"op": "replace", "path": "/spec/accessModes", "value": ["ReadWriteMany"]}]
    uncommented = re.sub(r"^# (components:|- )", r"\1", (ROOT / "kustomization.yaml").read_text(), flags=re.MULTILINE)
    assert sorted(yaml.safe_load(uncommented)["components"]) == sorted(
        str(path.parent.relative_to(ROOT)) for path in ROOT.glob("manifests/components/*/kustomization.yaml")
    )
