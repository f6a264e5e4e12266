"""Faults of a real cluster while a workflow trains, and workflows that end at each of their steps."""

import json
import subprocess
from collections.abc import Callable, Iterator

import pytest
import yaml
from kubernetes import client

from cluster import kserve_stand_in, schemas
from cluster.conftest import cluster, installed, kserve, namespace, pods  # noqa: F401
from cluster.kube import kubectl, run, runs
from reliability import cluster_faults, workflow_ends
from reliability.cluster_faults import Fault
from reliability.promises import Promise, attack

pytestmark = pytest.mark.cluster
CONTROLLERS = [cluster_faults.delete_controller(name) for name in ("workflow-controller", "training-operator")]


@pytest.fixture(scope="session")
def dry_runs(cluster: client.ApiClient, namespace: None) -> Iterator[None]:  # noqa: F811
    """Install the schemas that can be had before the fixture `installed`, without a dry run of each file."""
    if not cluster_faults.image_is_loaded():
        pytest.skip(f"no node of the cluster has the image {cluster_faults.IMAGE}; run make image")
    remove_workflows_and_service()  # a run that was cut off may have left them, and they would keep the claim
    try:
        added = schemas.install_full()
        full = schemas.full_definitions()
    except schemas.Missing:
        # KServe's alone are needed, and the fixture `kserve` looks for them.
        added = full = ""
    yield
    if full:  # manifests/ has put minimal schemas in their place
        kubectl("apply", "--server-side", "--force-conflicts", "--filename=-", stdin=full)
    if added:
        kubectl("delete", "--filename=-", stdin=added)


@pytest.fixture(scope="module")
def controllers(kserve: None) -> Iterator[None]:  # noqa: F811
    """Provide Argo's controller; install the project's runtime with short trials; delete all workflows at the end."""
    if not runs("kubeflow", "workflow-controller"):
        pytest.skip("the controller of Argo Workflows cannot run in this cluster")
    runtime = yaml.safe_load(kubectl("kustomize", "manifests/serving"))
    runtime["spec"]["containers"][0]["command"] += kserve_stand_in.SHORT_TRIAL
    kubectl("apply", "--filename=-", stdin=json.dumps(runtime))
    yield
    remove_workflows_and_service()


def remove_workflows_and_service() -> None:
    run("delete", "workflow", "--all")
    run("delete", "inferenceservice", "flower-sample", "--ignore-not-found", "--cascade=foreground")


@pytest.fixture(scope="module")
def undisturbed(controllers: None) -> str:
    return cluster_faults.undisturbed()


def train_with(faults: list[Fault], undisturbed: str, record_property: Callable[[str, object], None]) -> None:
    """Run a workflow with these faults, and compare its weights with those of an undisturbed training."""
    made: list[str] = []
    reason, weights = "", ""
    try:
        weights = cluster_faults.disturbed(faults, made.append)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    if not reason and weights != undisturbed:
        reason = f"the weights are {weights}, and {undisturbed} without a fault"
    record_property("times", len(made))
    record_property("lost", int(bool(reason)))
    record_property("weights", weights[:12])
    assert not reason, reason


@attack(Promise.CLUSTER, "the pods of Argo's controller and of the training operator deleted in mid-training", hour=1)
def test_a_training_survives_the_deletion_of_its_controllers(
    times: int, undisturbed: str, record_property: Callable[[str, object], None]
) -> None:
    train_with(CONTROLLERS * times, undisturbed, record_property)


@attack(Promise.CLUSTER, "the process of a worker's pod killed in mid-training", hour=1)
def test_a_training_survives_the_death_of_a_workers_process(
    times: int, undisturbed: str, record_property: Callable[[str, object], None]
) -> None:
    train_with(
        [Fault("the process of a worker killed", cluster_faults.kill_worker)] * times, undisturbed, record_property
    )


@attack(Promise.CLUSTER, "the API server killed and the kubelet restarted in mid-training", hour=1)
def test_a_training_survives_the_api_server_and_the_kubelet(
    times: int, undisturbed: str, record_property: Callable[[str, object], None]
) -> None:
    program = cluster_faults.program()
    if not program:
        pytest.skip("CLUSTER_FAULTS names no program that kills the API server or restarts the kubelet")
    faults = [cluster_faults.outside(program, what) for what in ("api-server", "kubelet")]
    train_with(faults * times, undisturbed, record_property)


@attack(Promise.CLUSTER, f"four workflows ended at a step ({', '.join(workflow_ends.ENDS)}), then a whole one", night=1)
@pytest.mark.parametrize("step", workflow_ends.STEPS)
def test_workflows_that_end_at_a_step_leave_nothing_behind(
    step: str, times: int, controllers: None, record_property: Callable[[str, object], None]
) -> None:
    made: list[str] = []
    reasons = [workflow_ends.refuted(step, made.append) for _ in range(times)]
    record_property("times", len(made))
    record_property("lost", sum(1 for reason in reasons if reason))
    assert not any(reasons), "\n".join(reasons)
