"""The kustomizations: remote bases are pinned, patches are explained and apply. No cluster is needed."""

import re
import subprocess
from typing import Any

import pytest
import yaml

from support.check_cluster import LABEL
from support.project import ROOT
from support.yaml_files import documents, files, load, pod_spec

CLUSTER_PAGE = (ROOT / "docs/cluster.md").read_text()

IDENTITIES = ("runAsUser", "runAsGroup", "fsGroup")
TRAINING = {"TFJob": "multi-worker-tfjob.yaml", "Job": "multi-worker-job.yaml"}

KUSTOMIZATIONS = {
    "kustomization.yaml",
    "manifests/kustomization.yaml",
    "manifests/argo-workflows/kustomization.yaml",
    "manifests/components/gpu/kustomization.yaml",
    "manifests/components/model-signing/kustomization.yaml",
    "manifests/components/network-policies/kustomization.yaml",
    "manifests/components/openshift/kustomization.yaml",
    "manifests/components/read-write-many/kustomization.yaml",
    "manifests/kubeflow-training/kustomization.yaml",
    "manifests/monitoring/kustomization.yaml",
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
        if len(load(name).get("patches", [])) == 1 and "/components/" in name:  # the file's header explains it
            continue
        patches = text.partition("\npatches:\n")[2].splitlines()
        for before, line in zip(["", *patches], patches, strict=False):
            if re.match(r"  - ", line):
                count += 1
                assert before.startswith("  # "), (name, line)
    assert count == 10


@pytest.mark.parametrize(("kind", "file"), TRAINING.items())
def test_the_gpu_component_patches_a_workers_limits(kind: str, file: str) -> None:
    patches = load("manifests/components/gpu/kustomization.yaml")["patches"]
    assert [patch["target"] for patch in patches] == [{"kind": each} for each in TRAINING]
    (text,) = (patch["patch"] for patch in patches if patch["target"]["kind"] == kind)
    patched = {}
    for operation in yaml.safe_load(text):
        target: Any = next(document for document in documents(file) if document["kind"] == kind)
        *parents, key = operation["path"].strip("/").split("/")
        for part in parents:
            target = target[int(part)] if part.isdecimal() else target[part]
        assert target == pod_spec(file)["containers"][0]["resources"]["limits"]
        patched[key.replace("~1", "/")] = operation["value"]
    assert patched == {"nvidia.com/gpu": 1, "memory": "8Gi"}


@pytest.mark.parametrize(("kind", "file"), TRAINING.items())
def test_the_openshift_component_removes_a_workers_user_and_groups(kind: str, file: str) -> None:
    patches = load("manifests/components/openshift/kustomization.yaml")["patches"]
    assert [patch["target"] for patch in patches] == [{"kind": each} for each in TRAINING]
    (text,) = (patch["patch"] for patch in patches if patch["target"]["kind"] == kind)
    start = "/spec/template/spec" if kind == "Job" else "/spec/tfReplicaSpecs/Worker/template/spec"
    paths = [f"{start}/securityContext/{name}" for name in IDENTITIES]
    assert yaml.safe_load(text) == [{"op": "remove", "path": path} for path in paths]
    assert set(IDENTITIES) < pod_spec(file)["securityContext"].keys()


def test_the_openshift_filter_removes_only_users_and_groups() -> None:
    (filter_,) = set(re.findall(r"\b(sed(?: -e '[^']+')+) ", CLUSTER_PAGE))
    found = [path for path in files() if "runAsUser: " in path.read_text()]
    assert len(found) >= 9
    for path in found:
        before = path.read_text().splitlines()
        after = subprocess.run(
            ["sh", "-c", filter_], input=path.read_text(), capture_output=True, text=True, check=True
        )
        kept = [line for line in before if not re.search(rf"({'|'.join(IDENTITIES)}): \d+$", line)]
        assert after.stdout.splitlines() == kept
        assert len(kept) < len(before) and list(yaml.safe_load_all(after.stdout))


def test_all_that_is_installed_has_the_label_of_the_clean_up() -> None:
    label = dict([LABEL])
    assert load("manifests/namespace.yaml")["metadata"]["labels"].items() > label.items()
    resources = load("manifests/kustomization.yaml")["resources"]
    names = [name for name in resources if name != "namespace.yaml"]
    parts = [load(f"manifests/{name}/kustomization.yaml") for name in (*names, "serving", "monitoring")]
    assert [part["labels"] for part in parts] == [[{"pairs": label}]] * 5
    kept = [line for line in CLUSTER_PAGE.splitlines() if f"--selector={'='.join(LABEL)}" in line]
    assert [line.split()[:2] for line in kept] == [["kubectl", "delete"]] * 5


def test_a_kustomization_offers_each_component() -> None:
    (many,) = load("manifests/components/read-write-many/kustomization.yaml")["patches"]
    assert yaml.safe_load(many["patch"]) == [{"op": "replace", "path": "/spec/accessModes", "value": ["ReadWriteMany"]}]
    offered = []
    for folder in (ROOT, ROOT / "manifests", ROOT / "manifests/serving"):
        text = (folder / "kustomization.yaml").read_text()
        uncommented = re.sub(r"^# (components:|- )", r"\1", text, flags=re.MULTILINE)
        offered += [(folder / name).resolve() for name in yaml.safe_load(uncommented)["components"]]
    assert sorted(offered) == sorted(path.parent for path in ROOT.glob("manifests/components/*/kustomization.yaml"))
