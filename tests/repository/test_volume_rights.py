"""The rights on the volume of every container that mounts the claim. No cluster is needed."""

from pathlib import Path
from typing import Any

from cluster import kserve_stand_in, templates
from distml.step.volume import Volume
from support.pod_templates import pod_templates
from support.project import ROOT
from support.yaml_files import load, pod_spec

VOLUME = Volume(Path("/trained_model"))
CLAIM = "strategy-volume"
# What a container may do below the volume's root, and below the published versions.
EVERYTHING, ALL_BUT_VERSIONS, READ = ("write", "write"), ("write", "read"), ("read", "read")
RIGHTS = {
    "access-model access-model": EVERYTHING,
    "predict-service predict-service": EVERYTHING,
    "step check main": READ,
    "step end-former-training main": READ,
    "step failed-training main": READ,
    "step ingest main": EVERYTHING,
    "step release main": EVERYTHING,
    "step remove-runs main": ALL_BUT_VERSIONS,
    "step select main": EVERYTHING,
    "tensorboard reports": READ,
    "tensorboard tensorboard": READ,
    "worker of a workflow tensorflow": ALL_BUT_VERSIONS,
    "worker of the Indexed Job ingest": EVERYTHING,
    "worker of the Indexed Job tensorflow": ALL_BUT_VERSIONS,
    "worker of the TFJob ingest": EVERYTHING,
    "worker of the TFJob tensorflow": ALL_BUT_VERSIONS,
}


def rights(spec: dict, container: dict) -> tuple[str, str] | None:
    """Return what a container may do below the volume's root and below its versions; None without the claim."""
    claims = {volume["name"]: volume.get("persistentVolumeClaim") for volume in spec.get("volumes", [])}
    mounts = {mount["mountPath"]: mount for mount in container.get("volumeMounts", []) if claims[mount["name"]]}
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
        f"{pod.name} {container['name']}": rights(pod.spec, container)
        for pod in pod_templates()
        if pod.kind != "InferenceService"  # a predictor mounts the versions alone; see below
        for container in [*pod.spec.get("initContainers", []), *pod.spec["containers"]]
    }
    assert {name: right for name, right in found.items() if right} == RIGHTS


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
