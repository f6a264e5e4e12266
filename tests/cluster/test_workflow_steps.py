"""The templates of workflow.yaml, in order, as plain pods and objects, without Argo and KServe."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cluster import kserve_stand_in, templates, tfjobs
from cluster.kube import NAMESPACE, ROOT, create, forwarded, get, kubectl, run, wait_until

pytestmark = pytest.mark.cluster
NAME = "steps"
SERVICE = "by-hand"


@pytest.fixture(scope="module")
def trained_by_template(pods: None) -> str:
    """Ingest, then train with the template's TFJob, created by its own account; return the job's name."""
    ingested = templates.run("ingest", "ingest", workflow__name=NAME)
    assert ingested.status == 0, ingested.output
    job = create_job()
    tfjobs.wait_for(job, "Succeeded", seconds=300)
    return job


def create_job(workflow: str = NAME, **parameters: str) -> str:
    """Create the template's TFJob by its own account; return the job's name."""
    values = {f"workflow.parameters.{name.replace('_', '-')}": value for name, value in parameters.items()}
    document = templates.manifest(
        "tfjob",
        {
            "workflow.name": workflow,
            "inputs.parameters.model": "batchnorm",
            "inputs.parameters.seed": "1",
            "workflow.parameters.epochs": "1",
            "workflow.parameters.train-images": "25600",
            **values,
        },
    )
    return create_as("pipeline-train", document)


def candidate(model: str) -> dict[str, str]:
    """Return the inputs that name a model with seed 1."""
    return {"inputs__parameters__model": model, "inputs__parameters__seed": "1"}


def create_as(account: str, document: dict) -> str:
    """Create an object as a service account; return its name."""
    user = f"--as=system:serviceaccount:{NAMESPACE}:{account}"
    created = kubectl("create", "--filename=-", "--output=name", user, stdin=json.dumps(document))
    return created.strip().rpartition("/")[2]


@pytest.fixture(scope="module")
def published(trained_by_template: str) -> dict:
    """Run the selection step and return its report."""
    bounds = {"workflow__parameters__accuracy-floor": "0.6", "workflow__parameters__tolerance": "1"}
    selected = templates.run("select", "select", workflow__name=NAME, **bounds)
    assert selected.status == 0, selected.output
    path = templates.TEMPLATES["select"]["outputs"]["parameters"][0]["valueFrom"]["path"]
    return json.loads(kubectl("exec", "access-model", "--", "cat", path.replace("{{workflow.name}}", NAME)))


@pytest.fixture(scope="module")
def predictor(published: dict) -> Iterator[str]:
    """Create the predictor's Deployment and Service from the project's files; yield the name of both."""
    service = yaml.safe_load((ROOT / "inference-service.yaml").read_text())
    service["metadata"]["name"] = SERVICE
    service["spec"]["predictor"]["model"]["args"] = kserve_stand_in.SHORT_TRIAL
    runtime = yaml.safe_load((ROOT / "manifests/serving/serving-runtime.yaml").read_text())
    objects = kserve_stand_in.predictor_objects(service, runtime)
    for document in objects:
        create(document)
    (name,) = {document["metadata"]["name"] for document in objects}
    kubectl("rollout", "status", f"deployment/{name}", "--timeout=2m")
    yield name
    kubectl("delete", f"deployment/{name}", f"service/{name}", "--cascade=foreground")


def test_ingestion_and_training_leave_a_candidate_in_the_run(trained_by_template: str) -> None:
    assert len(tfjobs.history(NAME)) == 1
    assert trained_by_template in kubectl("get", "tfjob", f"--selector=workflows.argoproj.io/workflow={NAME}")


def test_selection_publishes_and_writes_the_report(published: dict) -> None:
    assert published["winner"] == "batchnorm"
    assert {"version", "validation_accuracy", "test_accuracy"} <= published.keys()


def test_a_winner_below_the_floor_exits_with_3_and_the_reason(published: dict) -> None:
    floor = {"workflow__parameters__accuracy-floor": "1"}
    refused = templates.run("refused", "select", workflow__name=NAME, **floor)
    assert refused.status == 3
    assert "not published: batchnorm-seed1's validation accuracy" in refused.message


def test_the_release_step_releases_the_published_version(predictor: str, published: dict) -> None:
    version = str(published["version"])
    released = templates.run(
        "release", "release", workflow__parameters__service=SERVICE, inputs__parameters__version=version
    )
    assert (released.status, released.output) == (
        0,
        f"version {version} is released: every replica of {SERVICE} has taken it over\n",
    )


def test_curl_reaches_the_predictor_through_port_forward(predictor: str) -> None:
    with forwarded(f"service/{predictor}", 80) as port:
        url = f"http://127.0.0.1:{port}/v1/models/{SERVICE}:predict"
        command = ["curl", "--silent", "--fail", "--data", f"@{ROOT / 'inference-input.json'}", url]
        answer = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert answer["model_name"] == SERVICE
    assert sum(answer["predictions"][0]["probabilities"]) == pytest.approx(1, abs=1e-3)


def test_a_job_with_a_missing_image_is_ended_with_the_reason(pods: None) -> None:
    job = create_job(image="kubeflow/no-such-image:v0")
    wait_until("the pull has failed", 90, lambda: "ErrImagePull" in run("get", "pods").stdout)
    since = {"inputs__parameters__since": "2026-01-01T00:00:00Z"}
    ended = templates.run("why", "failed-training", workflow__name=NAME, **since, **candidate("batchnorm"))
    assert ended.status == 1
    assert f"TFJob {job} did not succeed: {job}-worker-" in ended.message
    assert "ImagePull" in ended.message
    assert run("get", "tfjob", job).returncode


def test_another_attempt_first_ends_the_running_job_of_its_model(trained_by_template: str) -> None:
    job = create_job("again", epochs="50")
    wait_until("the job's workers run", 120, lambda: run("get", "pods").stdout.count(f"{job}-worker-") == 2)
    step = "end-former-training"
    other = templates.run("other", step, workflow__name="again", **candidate("plain"))
    assert (other.status, other.output) == (0, "there is no TFJob to end\n")
    ended = templates.run("former", step, workflow__name="again", **candidate("batchnorm"))
    assert ended.status == 0, ended.output
    assert run("get", "tfjob", job).returncode
    assert f"{job}-worker-" not in run("get", "pods").stdout


def test_the_exit_handler_ends_running_jobs_and_keeps_finished_ones(trained_by_template: str) -> None:
    job = create_job(epochs="50")
    wait_until("the job's workers run", 120, lambda: run("get", "pods").stdout.count(f"{job}-worker-") == 2)
    ended = templates.run("end", "end-training", workflow__name=NAME)
    assert ended.status == 0, ended.output
    left = kubectl("get", "tfjob", f"--selector=workflows.argoproj.io/workflow={NAME}", "--output=name")
    assert left.split() == [f"tfjob.kubeflow.org/{trained_by_template}"]
    assert job not in run("get", "pods", "--field-selector=status.phase=Running").stdout


def test_serving_again_keeps_a_users_scaling(pods: None, tmp_path: Path) -> None:
    name = "kept-scaling"
    manifest = templates.manifest("create-service", {"workflow.parameters.service": name})
    create_as("pipeline-serve", manifest)
    autoscaled = (ROOT / "autoscaled-inference-service.yaml").read_text().replace("flower-sample", name)
    kubectl("apply", "--filename=-", stdin=autoscaled)
    update(name, tmp_path)
    update(name, tmp_path)
    predictor = get("inferenceservice", name)["spec"]["predictor"]
    assert (predictor["maxReplicas"], predictor["scaleMetric"]) == (3, "cpu")
    assert predictor["model"]["runtime"] == "flower-runtime"
    kubectl("delete", "inferenceservice", name)


def test_serving_again_keeps_mode_runtime_and_resources(pods: None, tmp_path: Path) -> None:
    name = "kept-mode"
    text = (ROOT / "autoscaled-inference-service-knative.yaml").read_text().replace("flower-sample", name)
    stock = re.sub(r"runtime: flower-runtime", "runtimeVersion: 2.20.0", text).replace("512Mi", "640Mi")
    kubectl("apply", "--filename=-", stdin=stock.replace("/saved_model_versions", "/elsewhere"))
    before = get("inferenceservice", name)
    update(name, tmp_path)
    after = get("inferenceservice", name)
    assert after["metadata"]["annotations"] == before["metadata"]["annotations"]
    before["spec"]["predictor"]["model"]["storageUri"] = "pvc://strategy-volume/saved_model_versions"
    assert after["spec"] == before["spec"]
    kubectl("delete", "inferenceservice", name)


def update(service: str, folder: Path) -> None:
    """Patch a service as the template `update-service` does, by the template's account."""
    patch = folder / "patch.yaml"
    patch.write_text(json.dumps(templates.manifest("update-service", {"workflow.parameters.service": service})))
    user = f"--as=system:serviceaccount:{NAMESPACE}:pipeline-serve"
    kubectl("patch", f"--filename={patch}", f"--patch-file={patch}", "--type=merge", user)
