"""The whole workflow on Argo's controller, and on KServe's where that runs: elsewhere something stands in for it."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from cluster import tfjobs, workflows
from cluster.kube import execute, forwarded, get, kubectl, run, runs, wait_until
from cluster.test_tfjob import KILL

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module", autouse=True)
def controllers(kserve: None) -> Iterator[None]:
    """Provide Argo's controller, running, and KServe or its stand-in, with the project's runtime installed."""
    if not runs("kubeflow", "workflow-controller"):
        pytest.skip("the controller of Argo Workflows cannot run in this cluster")
    kubectl("apply", "--filename=-", stdin=kubectl("kustomize", "manifests/serving"))
    yield
    kubectl("delete", "inferenceservice", "flower-sample", "--ignore-not-found")
    kubectl("wait", "--for=delete", "deployment/flower-sample-predictor", "--timeout=60s")
    kubectl("delete", "workflow", "--all")


@pytest.fixture(scope="module")
def first(controllers: None) -> tuple[str, dict]:
    """A workflow of all three models that succeeded: its name and its status."""
    name = workflows.submit(models='["plain", "dropout", "batchnorm"]')
    return name, workflows.wait_for(name, "Succeeded", seconds=600)


def served_version() -> str:
    """The version that the service itself names, asked from a pod of the namespace."""
    ask = "import urllib.request as u; print(u.urlopen('http://flower-sample-predictor/metrics').read().decode())"
    metrics = execute("predict-service", "python3", "-c", ask)
    (line,) = (line for line in metrics.splitlines() if line.startswith("predictor_model_info{"))
    return dict(pair.split("=") for pair in line[line.index("{") + 1 : line.index("}")].split(","))["version"].strip(
        '"'
    )


def test_it_trains_all_models_selects_publishes_and_serves(first: tuple[str, dict]) -> None:
    name, status = first
    found = workflows.outputs(status)
    assert found.keys() == {"winner", "validation-accuracy", "test-accuracy", "version", "report-path"}
    assert found["winner"] in ("plain", "dropout", "batchnorm")
    assert float(found["validation-accuracy"]) > 0.5
    assert served_version() == found["version"]
    assert "index.html" in execute("access-model", "ls", found["report-path"])
    assert sorted(workflows.jobs(name)) == [f"{name}-{model}-0" for model in ("batchnorm", "dropout", "plain")]


@dataclass
class Pair:
    """Two workflows that were submitted at once after the first, and ended well."""

    statuses: list[dict]
    most_training: int
    service_before: str


@pytest.fixture(scope="module")
def pair(first: tuple[str, dict]) -> Pair:
    before = get("inferenceservice", "flower-sample")["metadata"]["uid"]
    patch = {"spec": {"predictor": {"minReplicas": 1, "maxReplicas": 2}}}
    kubectl("patch", "inferenceservice", "flower-sample", "--type=merge", f"--patch={json.dumps(patch)}")
    names = [workflows.submit(), workflows.submit()]
    most = 0

    def ended() -> bool:
        nonlocal most
        most = max(most, sum(len(workflows.training(name)) for name in names))
        return all(workflows.phase(name) in ("Succeeded", "Failed", "Error") for name in names)

    wait_until("both have ended", 600, ended)
    return Pair([workflows.wait_for(name, "Succeeded") for name in names], most, before)


def test_two_at_once_train_one_after_the_other_and_the_newest_version_is_served(pair: Pair) -> None:
    versions = {int(workflows.outputs(status)["version"]) for status in pair.statuses}
    assert len(versions) == 2
    assert served_version() == str(max(versions))
    assert pair.most_training == 1


def test_the_next_ones_find_the_data_ingested(pair: Pair) -> None:
    for status in pair.statuses:
        memoized = [node["memoizationStatus"] for node in status["nodes"].values() if node.get("memoizationStatus")]
        assert any(memory["hit"] for memory in memoized)


def test_the_next_ones_update_the_service_and_deleting_a_workflow_leaves_it(
    first: tuple[str, dict], pair: Pair
) -> None:
    kubectl("delete", "workflow", first[0])
    wait_until("its jobs are gone", 60, lambda: not workflows.jobs(first[0]))
    after = get("inferenceservice", "flower-sample")
    assert after["metadata"]["uid"] == pair.service_before
    assert after["spec"]["predictor"]["maxReplicas"] == 2


def test_a_floor_that_is_not_reached_fails_the_workflow_and_what_is_served_stays(first: tuple[str, dict]) -> None:
    before = served_version()
    status = workflows.wait_for(workflows.submit(accuracy_floor="1"), "Failed")
    assert "is below the floor 1" in workflows.messages(status)
    assert served_version() == before
    # A refusal is not tried again.
    assert {node for node in workflows.nodes(status) if node.startswith("select")} == {"select", "select(0)"}


def test_argos_metrics_tell_how_workflows_ended_and_what_was_published(first: tuple[str, dict]) -> None:
    with forwarded("deployment/workflow-controller", 9090) as port:
        command = ["curl", "--silent", "--insecure", f"https://localhost:{port}/metrics"]
        metrics = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert set(re.findall(r"^argo_workflows_distml_\w+", metrics, re.MULTILINE)) == {
        "argo_workflows_distml_workflows_total",
        "argo_workflows_distml_workflow_seconds",
        "argo_workflows_distml_validation_accuracy",
        "argo_workflows_distml_published_version",
    }


@pytest.mark.thorough
def test_a_remembered_ingestion_on_a_volume_without_data_is_mended(first: tuple[str, dict]) -> None:
    execute("access-model", "rm", "-r", "/trained_model/datasets")
    name = workflows.submit()

    def remembered_and_mended() -> bool:
        nodes = workflows.nodes(get("workflow", name).get("status", {}))
        mended = nodes.get("check-data", {}).get("phase") == "Succeeded"
        return mended and any(node.get("memoizationStatus", {}).get("hit") for node in nodes.values())

    wait_until("the check has passed", 180, remembered_and_mended)
    assert "fashion_mnist" in execute("access-model", "ls", "/trained_model/datasets")
    kubectl("delete", "workflow", name)


def one_in_mid_training() -> tuple[str, str]:
    """Submit a workflow whose first job has trained for an epoch, and would for 99 more; the names of both."""
    name = workflows.submit(epochs="100")
    (job,) = wait_until("its job is there", 120, lambda: workflows.jobs(name))
    tfjobs.wait_for_output(job, "epoch 1/100", 180)
    return name, job


def test_one_deleted_in_mid_training_leaves_no_job_and_no_worker() -> None:
    name, job = one_in_mid_training()
    kubectl("delete", "workflow", name)
    wait_until("its job is gone", 60, lambda: not workflows.jobs(name))
    wait_until("its workers are gone", 60, lambda: job not in run("get", "pods").stdout)


@pytest.mark.thorough
def test_one_stopped_in_mid_training_leaves_no_job_that_trains() -> None:
    name, job = one_in_mid_training()
    kubectl("patch", "workflow", name, "--type=merge", '--patch={"spec": {"shutdown": "Stop"}}')
    workflows.wait_for(name, "Failed", seconds=120)
    assert workflows.training(name) == []
    wait_until("its workers are gone", 30, lambda: job not in run("get", "pods").stdout)


@pytest.mark.thorough
def test_one_that_takes_too_long_leaves_no_job_that_trains() -> None:
    name = workflows.submit(("activeDeadlineSeconds: 57600", "activeDeadlineSeconds: 90"), epochs="100")
    (job,) = wait_until("its job is there", 90, lambda: workflows.jobs(name))
    workflows.wait_for(name, "Failed", seconds=180)
    assert workflows.training(name) == []
    wait_until("its workers are gone", 30, lambda: job not in run("get", "pods").stdout)


@pytest.mark.thorough
def test_a_deleted_job_fails_its_step_and_the_retry_makes_another() -> None:
    name, job = one_in_mid_training()
    kubectl("delete", "tfjob", job)
    wait_until("there is another one", 90, lambda: workflows.jobs(name) == [f"{name}-batchnorm-1"])
    status = get("workflow", name)["status"]
    assert f"TFJob {job} did not succeed: it does not exist" in workflows.messages(status)
    assert workflows.nodes(status)["former"]["phase"] == "Succeeded"
    kubectl("delete", "workflow", name)


@pytest.mark.thorough
def test_wrong_input_spends_the_back_off_limit_and_is_not_tried_again() -> None:
    limit = ("backoffLimit: {{=3 * asInt(workflow.parameters.workers)}}", "backoffLimit: 1")
    name = workflows.submit(limit, batch_per_worker="12800")
    status = workflows.wait_for(name, "Failed", seconds=300)
    said = "ended with status 2: a global batch of 25600 is more than the 12800 training images"
    assert f"TFJob {name}-batchnorm-0 did not succeed: worker " in workflows.messages(status)
    assert "batchnorm is not retried, since the same input would fail again: worker " in workflows.messages(status)
    assert workflows.messages(status).count(said) >= 2
    assert workflows.jobs(name) == [f"{name}-batchnorm-0"]


@pytest.mark.thorough
def test_a_workers_process_that_is_killed_does_not_fail_the_workflow() -> None:
    grace = "terminationGracePeriodSeconds: 10\n"
    shared = (grace, f"{grace}{20 * ' '}shareProcessNamespace: true\n")
    name = workflows.submit(shared, epochs="3", train_images="25600")
    (job,) = wait_until("its job is there", 120, lambda: workflows.jobs(name))
    tfjobs.wait_for_output(job, "epoch 1/3", 180)
    assert "killed" in execute(f"{job}-worker-1", "python3", "-c", KILL)
    workflows.wait_for(name, "Succeeded")
    assert workflows.jobs(name) == [job]
    assert tfjobs.restarts(job, 1) >= 1


@pytest.mark.thorough
def test_a_deleted_worker_fails_its_job_but_the_retry_goes_on_from_its_checkpoint() -> None:
    name = workflows.submit(epochs="3", train_images="25600")
    (job,) = wait_until("its job is there", 120, lambda: workflows.jobs(name))
    tfjobs.wait_for_output(job, "epoch 1/3", 180)
    kubectl("delete", "pod", f"{job}-worker-1")
    workflows.wait_for(name, "Succeeded")
    assert workflows.jobs(name) == [f"{name}-batchnorm-0", f"{name}-batchnorm-1"]
    assert "from its checkpoint" in tfjobs.logs(f"{name}-batchnorm-1", 0)
    assert len(tfjobs.history(name)) == 3


@pytest.mark.thorough
def test_an_image_that_cannot_be_pulled_fails_at_the_deadline_and_the_message_says_why() -> None:
    workers = ("image: {{workflow.parameters.image}}", "image: kubeflow/no-such-image:v0")
    name = workflows.submit(workers, training_deadline="10")
    status = workflows.wait_for(name, "Failed", seconds=500)
    message = workflows.messages(status)
    assert f"TFJob {name}-batchnorm-0 did not succeed" in message and "more: kubectl get events" in message
    assert "no-such-image" in message or "ErrImagePull" in message
    attempts = [node for node in workflows.nodes(status) if node.startswith("train(0:")]
    assert "train(0:batchnorm)(0)" in attempts and "train(0:batchnorm)(1)" not in attempts
    assert workflows.training(name) == []
