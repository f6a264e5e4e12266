"""The rights on the volume of every container that mounts the claim. No cluster is needed."""

from pathlib import Path
from typing import Any

from cluster import kserve_stand_in, templates
from distml.step.volume import Volume
from support.project import ROOT
from support.yaml_files import documents, load, pod_spec

VOLUME = Volume(Path("/trained_model"))
CLAIM = "strategy-volume"
# What a container may do below the volume's root, and below the published versions.
EVERYTHING, ALL_BUT_VERSIONS, READ = ("write", "write"), ("write", "read"), ("read", "read")
RIGHTS = {
    "access-model.yaml access-model": EVERYTHING,
    "multi-worker-job.yaml ingest": EVERYTHING,
    "multi-worker-job.yaml tensorflow": ALL_BUT_VERSIONS,
    "multi-worker-tfjob.yaml ingest": EVERYTHING,
    "multi-worker-tfjob.yaml tensorflow": ALL_BUT_VERSIONS,
    "predict-service.yaml predict-service": EVERYTHING,
    "tensorboard.yaml reports": READ,
    "tensorboard.yaml tensorboard": READ,
    "workflow.yaml check": READ,
    "workflow.yaml end-former-training": READ,
    "workflow.yaml failed-training": READ,
    "workflow.yaml ingest": EVERYTHING,
    "workflow.yaml release": EVERYTHING,
    "workflow.yaml remove-runs": ALL_BUT_VERSIONS,
    "workflow.yaml select": EVERYTHING,
    "workflow.yaml tfjob tensorflow": ALL_BUT_VERSIONS,
}
VALUES = {"workflow.name": "distml-abcde", "inputs.parameters.model": "plain", "inputs.parameters.seed": "1"}


def pods() -> dict[str, dict]:
    """Return the spec of each pod of the root's files that mounts the claim, by its file and template."""
    names = [path.name for path in sorted(ROOT.glob("[!.]*.yaml"))]
    found = {
        name: pod_spec(name) for name in names if {"Pod", "TFJob", "Job"} & {each["kind"] for each in documents(name)}
    }
    for name, template in templates.TEMPLATES.items():
        if "container" in template:
            container = {"name": "", **template["container"]}
            volumes = [*templates.SPEC["volumes"], *template.get("volumes", [])]
            found[f"workflow.yaml {name}"] = {"containers": [container], "volumes": volumes}
    job = templates.manifest("tfjob", VALUES)
    found["workflow.yaml tfjob"] = job["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]
    return found


def rights(spec: dict, container: dict) -> tuple[str, str] | None:
    """Return what a container may do below the volume's root and below its versions; None without the claim."""
    claims = {volume["name"]: volume.get("persistentVolumeClaim") for volume in spec["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"] if claims[mount["name"]]}
    if not mounts:
        return None
    assert {claims[mount["name"]]["claimName"] for mount in mounts.values()} == {CLAIM}
    root = mounts.pop(str(VOLUME.root))
    assert "subPath" not in root
    over = mounts.pop(str(VOLUME.versions), root)
    if over is not root:
        assert over["subPath"] == VOLUME.versions.name
    assert mounts == {}
    root_right, versions_right = ("read" if mount.get("readOnly") else "write" for mount in (root, over))
    return root_right, versions_right


def test_the_table_lists_what_each_container_may_write() -> None:
    found = {
        f"{name} {container['name']}".strip(): rights(spec, container)
        for name, spec in pods().items()
        for container in [*spec.get("initContainers", []), *spec["containers"]]
    }
    assert found.pop("workflow.yaml end-training") is None
    assert found == RIGHTS


def test_ingestion_makes_the_folder_before_a_pod_mounts_it() -> None:
    order = [step["name"] for group in templates.TEMPLATES["pipeline"]["steps"] for step in group]
    groups = [[step["name"] for step in group] for group in templates.TEMPLATES["pipeline"]["steps"]]
    assert [len(group) for group in groups] == [1] * len(order)
    # The step check-data ingests too, in case the memoised ingestion was of another volume.
    assert order.index("check-data") < order.index("remove-runs") < order.index("train")
    for name in ("multi-worker-job.yaml", "multi-worker-tfjob.yaml"):
        (ingest,) = pod_spec(name)["initContainers"]
        assert ingest["command"] == ["python3", "/data-ingestion.py", "--volume=/trained_model"]


def test_a_predictor_sees_only_the_versions_and_cannot_write() -> None:
    runtime = load("manifests/serving/serving-runtime.yaml")
    made: list[dict[str, Any]] = [load(path.name) for path in sorted(ROOT.glob("*inference-service*.yaml"))]
    made.append(templates.manifest("create-service", {}))
    assert len(made) == 4
    for service in made:
        # KServe mounts the claim read-only unless an annotation says otherwise.
        assert "storage.kserve.io/readonly" not in service["metadata"]["annotations"]
        assert "volumes" not in service["spec"]["predictor"]
        pod = kserve_stand_in.predictor_pod(service, runtime)
        (container,) = pod["containers"]
        assert [volume for volume in pod["volumes"] if "emptyDir" not in volume] == [
            {"name": "kserve-pvc-source", "persistentVolumeClaim": {"claimName": CLAIM}}
        ]
        assert [mount for mount in container["volumeMounts"] if mount["name"] == "kserve-pvc-source"] == [
            {
                "name": "kserve-pvc-source",
                "mountPath": "/mnt/models",
                "subPath": VOLUME.versions.name,
                "readOnly": True,
            }
        ]
