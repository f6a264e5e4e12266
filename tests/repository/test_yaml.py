"""The YAML files agree with the scripts, the Dockerfile and each other. No cluster is needed."""

import importlib
import re
from types import ModuleType
from typing import Any

import pytest
import yaml

from distml.step import command_line
from support.project import ROOT
from support.yaml_files import DOCKERFILE, SCRIPTS, documents, files, load, pod_spec

TRAINING = ("multi-worker-job.yaml", "multi-worker-tfjob.yaml")
PODS = ("access-model.yaml", *TRAINING, "predict-service.yaml", "tensorboard.yaml")
SCALE = {"m": 1e-3, "": 1, "Mi": 2**20, "Gi": 2**30}


def containers(name: str) -> list[dict]:
    spec = pod_spec(name)
    return [*spec.get("initContainers", []), *spec["containers"]]


def all_containers() -> list[dict]:
    return [container for name in PODS for container in containers(name)]


def quantity(amount: object) -> float:
    text = str(amount)
    unit = text.lstrip("0123456789.")
    return float(text.removesuffix(unit)) * SCALE[unit]


def script_of(command: list[str]) -> tuple[ModuleType, list[str]]:
    """Return the module that a container's command runs, and the command's arguments."""
    program, path, *arguments = command
    assert program == "python3", command
    modules = {f"/{link}": module for module, link in SCRIPTS.items()}
    return importlib.import_module(modules[path]), arguments


def test_the_checks_cover_every_yaml_file_with_a_pod() -> None:
    kinds = {path.name: [document["kind"] for document in documents(str(path))] for path in files()}
    assert len(files()) == 39
    assert tuple(sorted(name for name, kind in kinds.items() if {"Pod", "TFJob", "Job"} & set(kind))) == PODS
    assert len(all_containers()) == 8


def pods_in(node: Any) -> list[dict]:
    """Return every mapping with the metadata and the containers of a pod, at any depth."""
    if isinstance(node, list):
        return [pod for each in node for pod in pods_in(each)]
    if not isinstance(node, dict):
        return []
    inner = [pod for each in node.values() for pod in pods_in(each)]
    return [node, *inner] if "containers" in (node.get("spec") or {}) else inner


def test_no_pod_but_the_controllers_gets_a_sidecar_of_istio() -> None:
    names = [path.name for path in ROOT.glob("[!.]*.yaml")]
    found = {name: [pod["metadata"]["labels"] for pod in pods_in(documents(name))] for name in names}
    labels = [
        *(each for pods in found.values() for each in pods),
        load("workflow.yaml")["spec"]["podMetadata"]["labels"],
    ]
    assert {name for name, pods in found.items() if pods} >= set(PODS)
    assert {each.get("sidecar.istio.io/inject") for each in labels} == {"false"}


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_each_yaml_file_starts_with_a_comment_and_has_one_kind(path: Any) -> None:
    assert path.read_text().startswith("# ")
    kinds = {document["kind"] for document in documents(path)}
    assert len(kinds) == 1 or (path.name, kinds) == ("multi-worker-job.yaml", {"Service", "Job"})


@pytest.mark.parametrize("name", [*PODS, "multi-worker-pvc.yaml"])
def test_a_yaml_files_header_names_its_needs_and_its_command(name: Any) -> None:
    header = (ROOT / name).read_text().split("apiVersion:")[0]
    assert "# Needs: " in header
    assert f"kubectl create -f {name}" in header


def test_only_true_and_false_are_yaml_booleans() -> None:
    for path in files():
        for node in yaml.compose_all(path.read_text()):
            for scalar in scalars(node):
                if scalar.tag == "tag:yaml.org,2002:bool":
                    assert scalar.value in ("true", "false"), (path, scalar.value)


def scalars(node: yaml.Node) -> list[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        return [node]
    children = [child for pair in node.value for child in pair] if isinstance(node, yaml.MappingNode) else node.value
    return [scalar for child in children for scalar in scalars(child)]


def test_each_pods_command_is_a_script_that_parses_its_arguments() -> None:
    commands = [container["command"] for container in all_containers()]
    steps = [command for command in commands if command[0] not in ("sleep", "tensorboard")]
    assert len(steps) == 5
    for command in steps:
        module, arguments = script_of(command)
        assert str(module.parse_args(arguments).volume) == "/trained_model"


@pytest.mark.parametrize("name", TRAINING)
def test_a_workers_command_has_one_flag_a_line_and_fails_on_a_typo(name: str) -> None:
    module, arguments = script_of(containers(name)[1]["command"])
    assert all(argument.startswith("--") and "=" in argument for argument in arguments)
    with pytest.raises(SystemExit):
        module.parse_args([*arguments, "--epoks=1"])


def test_every_pod_mounts_the_claim_at_the_scripts_default() -> None:
    claim = load("multi-worker-pvc.yaml")["metadata"]["name"]
    assert claim == "strategy-volume"
    default = str(command_line.step_parser(None).parse_args([]).volume)
    for name in PODS:
        assert pod_spec(name)["volumes"][0] == {"name": "volume", "persistentVolumeClaim": {"claimName": claim}}
        for container in containers(name):
            only = {"readOnly": True} if name == "tensorboard.yaml" else {}
            assert {"name": "volume", "mountPath": default, **only} in container["volumeMounts"]
            assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]
        mounted = {mount["name"] for container in containers(name) for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod_spec(name)["volumes"]}


def test_all_yaml_files_and_the_makefile_name_the_same_image() -> None:
    image = "kubeflow/multi-worker-strategy:v0.1"
    assert {container["image"] for container in all_containers()} == {image}
    assert {container["imagePullPolicy"] for container in all_containers()} == {"IfNotPresent"}
    assert f"docker build -f Dockerfile -t {image} ." in DOCKERFILE
    assert f"IMAGE := {image}\n" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("name", PODS)
def test_every_pod_is_restricted(name: str) -> None:
    spec = pod_spec(name)
    assert spec["automountServiceAccountToken"] is False
    assert spec["terminationGracePeriodSeconds"] <= 10
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "runAsGroup": 1000,
        "fsGroup": 1000,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    for container in containers(name):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_the_image_runs_as_the_pods_user() -> None:
    assert re.search(r"^USER 1000:1000$", DOCKERFILE, re.MULTILINE)


def test_every_container_requests_and_limits_cpu_and_memory() -> None:
    for container in all_containers():
        resources = container["resources"]
        for kind in ("cpu", "memory"):
            assert quantity(resources["requests"][kind]) <= quantity(resources["limits"][kind]), container["name"]


def test_two_workers_and_the_pods_leave_room_on_two_cores_and_8_gib() -> None:
    workers = load("multi-worker-tfjob.yaml")["spec"]["tfReplicaSpecs"]["Worker"]["replicas"]
    assert workers == 2
    requested = {"cpu": 0.0, "memory": 0.0}
    for name in set(PODS) - {"multi-worker-job.yaml"}:  # in place of the TFJob, with the same requests
        for kind in requested:
            # A pod's init containers have ended before its containers start.
            first, then = (
                [quantity(container["resources"]["requests"][kind]) for container in pod_spec(name).get(part, [])]
                for part in ("initContainers", "containers")
            )
            requested[kind] += max([*first, sum(then)]) * (workers if name == "multi-worker-tfjob.yaml" else 1)
    # kind's own pods request 0.95 cores and 0.3 GiB.
    assert requested["cpu"] <= 0.6
    assert requested["memory"] <= 4 * 2**30


def test_the_limits_of_the_tfjob_end_a_hung_job() -> None:
    job = load("multi-worker-tfjob.yaml")["spec"]
    policy, worker = job["runPolicy"], job["tfReplicaSpecs"]["Worker"]
    module, arguments = script_of(pod_spec("multi-worker-tfjob.yaml")["containers"][0]["command"])
    parsed = module.parse_args(arguments)
    assert job["successPolicy"] == "AllWorkers"
    assert worker["restartPolicy"] == "OnFailure"
    assert pod_spec("multi-worker-tfjob.yaml")["activeDeadlineSeconds"] >= policy["activeDeadlineSeconds"]
    assert max(parsed.start_timeout, parsed.stall_timeout) < policy["activeDeadlineSeconds"]
    assert policy["backoffLimit"] >= 2 * worker["replicas"]
    assert policy["cleanPodPolicy"] == "Running"
    assert policy["ttlSecondsAfterFinished"] > 0


def test_a_worker_has_the_operators_names_and_no_readiness_probe() -> None:
    (worker,) = pod_spec("multi-worker-tfjob.yaml")["containers"]
    assert worker["name"] == "tensorflow"
    assert worker["ports"] == [{"name": "tfjob-port", "containerPort": 2222}]
    assert "readinessProbe" not in worker


def test_each_copied_yaml_block_names_its_original_and_a_test() -> None:
    found = [
        (path.name, *groups)
        for path in files()
        for groups in re.findall(r"^ *# Copies ([\w-]+\.yaml); see (\w+\.py)::(\w+)$", path.read_text(), re.MULTILINE)
    ]
    assert [(copy, original) for copy, original, _, _ in found] == [
        ("autoscaled-inference-service-knative.yaml", "inference-service.yaml"),
        ("autoscaled-inference-service.yaml", "inference-service.yaml"),
        ("multi-worker-job.yaml", "multi-worker-tfjob.yaml"),
        *(
            (workflow, original)
            for workflow in ("workflow-template.yaml", "workflow.yaml")
            for original in ("multi-worker-tfjob.yaml", "inference-service.yaml", "inference-service.yaml")
        ),
    ]
    for _, original, module, function in found:
        assert (ROOT / original).is_file()
        assert f"\ndef {function}(" in (ROOT / "tests/repository" / module).read_text()
