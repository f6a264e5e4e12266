"""The whole workflow on Argo's controller and on KServe's controller or its stand-in."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest
import yaml

from cluster import kserve_stand_in, retraining, tfjobs, workflows
from cluster.kube import NAMESPACE, ROOT, execute, forwarded, get, kubectl, make, run, runs, wait_until
from distml.administration import workflow
from support import pages

pytestmark = pytest.mark.cluster
# The name of a second service.
OTHER = "fashion"


@pytest.fixture(scope="module", autouse=True)
def controllers(kserve: None) -> Iterator[None]:
    """Provide Argo's controller and KServe's or its stand-in; install the project's runtime with short trials."""
    if not runs("kubeflow", "workflow-controller"):
        pytest.skip("the controller of Argo Workflows cannot run in this cluster")
    runtime = yaml.safe_load(kubectl("kustomize", "manifests/serving"))
    runtime["spec"]["containers"][0]["command"] += kserve_stand_in.SHORT_TRIAL
    kubectl("apply", "--filename=-", stdin=json.dumps(runtime))
    yield
    for service in ("flower-sample", OTHER):
        kubectl("delete", "inferenceservice", service, "--ignore-not-found")
        kubectl("wait", "--for=delete", f"deployment/{service}-predictor", "--timeout=60s")
    kubectl("delete", "workflow", "--all")


@pytest.fixture(scope="module")
def first(controllers: None) -> tuple[str, dict]:
    """Run a workflow of all three models; return its name and its status."""
    name = workflows.submit(models='["plain", "dropout", "batchnorm"]')
    return name, workflows.wait_for(name, "Succeeded", seconds=600)


def served_version() -> str:
    """Return the version that the service reports to a pod of the namespace."""
    script = "import urllib.request as u; print(u.urlopen('http://flower-sample-predictor/metrics').read().decode())"
    metrics = execute("predict-service", "python3", "-c", script)
    (line,) = (line for line in metrics.splitlines() if line.startswith("predictor_model_info{"))
    return dict(pair.split("=") for pair in line[line.index("{") + 1 : line.index("}")].split(","))["version"].strip(
        '"'
    )


def test_a_workflow_trains_all_models_and_serves_the_winner(first: tuple[str, dict]) -> None:
    name, status = first
    found = workflows.outputs(status)
    names = {"winner", "verdict", "validation-accuracy", "validation-interval", "test-accuracy", "version"}
    assert found.keys() == {*names, "report-path", "trained", "reason"}
    assert (found["trained"], found["reason"]) == ("true", workflow.TRAINS_ALWAYS)
    assert found["winner"] in ("plain", "dropout", "batchnorm")
    assert found["verdict"] in ("lead within chance", "lead beyond chance")
    low, high = json.loads(found["validation-interval"])
    assert 0.5 < low < float(found["validation-accuracy"]) < high
    assert served_version() == found["version"]
    assert "index.html" in execute("access-model", "ls", found["report-path"])
    assert sorted(workflows.candidates(name)) == [f"{name}-{model}-1" for model in ("batchnorm", "dropout", "plain")]


def page_commands(start: str) -> list[str]:
    """Return the commands of docs/workflow.md that begin with `start`, for the project's namespace."""
    found = [line for line in pages.lines(ROOT / "docs/workflow.md") if line.startswith(start)]
    return [line.replace("kubectl ", f"kubectl --namespace={NAMESPACE} ") for line in found]


def test_the_pages_command_prints_the_outputs_of_a_workflow(first: tuple[str, dict]) -> None:
    (newest,) = page_commands("WORKFLOW=$(")
    (show,) = (line for line in page_commands("kubectl get workflow $WORKFLOW ") if "outputs" in line)
    printed = subprocess.run(["sh", "-e", "-c", f"{newest}; {show}"], capture_output=True, text=True, check=True).stdout
    assert dict(line.split(": ", 1) for line in printed.splitlines()) == workflows.outputs(first[1])


@pytest.fixture(scope="module")
def calm(first: tuple[str, dict]) -> Iterator[tuple[str, dict, str]]:
    """Let a workflow start by schedule, after images like those of the publication, and one by `make retrain`.

    Yield the first one's name and its status, and what make printed. Then send the negatives, for the next scheduled
    workflow; the tests in between need not wait for its minute.
    """
    version = workflows.outputs(first[1])["version"]
    retraining.send(version, "originals")
    with retraining.every_minute():
        name = retraining.scheduled("false")
        status = workflows.wait_for(name, "Succeeded", seconds=120)
        made = make("retrain")
        retraining.send(version, "negatives")
        yield name, status, made.stdout + made.stderr


def test_make_retrain_prints_the_decision(calm: tuple[str, dict, str]) -> None:
    ended = r"^workflow\.argoproj\.io/retrain-\w+: Succeeded 2/2 *\ntrain: false\nreason: version "
    assert re.search(ended, calm[2], re.MULTILINE), calm[2]


def test_a_scheduled_workflow_trains_nothing_without_drift(
    first: tuple[str, dict], calm: tuple[str, dict, str]
) -> None:
    name, status, _ = calm
    found = workflows.outputs(status)
    version = workflows.outputs(first[1])["version"]
    reason = (
        rf"version {version} was trained on the volume's data set; no drift from the validation images of version"
        rf" {version} in the last 1,0\d\d images: intensity .*"
    )
    assert re.fullmatch(reason, found.pop("reason"))
    results = {"winner", "verdict", "validation-accuracy", "validation-interval", "test-accuracy", "version"}
    assert found == {"trained": "false"} | dict.fromkeys({*results, "report-path"}, "")
    assert workflows.jobs(name) == []


def test_mistyped_parameters_are_refused_by_the_first_step_alone(controllers: None) -> None:
    names = [workflows.submit(models="plain batchnorm"), workflows.submit(workers="two")]
    reasons = [
        "parameter models: 'plain batchnorm' is not a JSON list of one or more entries, expected one such as"
        ' ["plain", "dropout"]',
        "parameter workers: 'two' is not an integer of 1 or more",
    ]
    for name, reason in zip(names, reasons, strict=True):
        refused = f"main: Error (exit code 2): {reason}"
        wait_until(f"the first step refuses {reason}", 30, partial(workflows.has_message, name, refused))
        status = workflows.wait_for(name, "Failed", seconds=60)
        pods = {node["displayName"] for node in status["nodes"].values() if node["type"] == "Pod"}
        assert pods == {"check(0)", f"{name}.onExit(0)"}


@dataclass
class Pair:
    """Two successful workflows at the same time, after the first.

    One was started by the schedule and updates its service, the other trains with two seeds and creates OTHER.
    """

    statuses: list[dict]
    most_training: int
    service_before: str


@pytest.fixture(scope="module")
def pair(first: tuple[str, dict], calm: tuple[str, dict, str]) -> Pair:
    before = get("inferenceservice", "flower-sample")["metadata"]["uid"]
    patch = {"spec": {"predictor": {"minReplicas": 2, "maxReplicas": 2}}}
    kubectl("patch", "inferenceservice", "flower-sample", "--type=merge", f"--patch={json.dumps(patch)}")
    names = [retraining.scheduled("true"), workflows.submit(seeds="[1, 2]", service=OTHER)]
    retraining.suspend()
    most = 0

    def ended() -> bool:
        nonlocal most
        most = max(most, sum(len(workflows.training(name)) for name in names))
        return all(workflows.phase(name) in ("Succeeded", "Failed", "Error") for name in names)

    wait_until("both workflows have ended", 600, ended)
    return Pair([workflows.wait_for(name, "Succeeded") for name in names], most, before)


def test_two_workflows_train_in_turn_and_serve_the_newest_version(pair: Pair) -> None:
    versions = {int(workflows.outputs(status)["version"]) for status in pair.statuses}
    assert len(versions) == 2
    wait_until("the service has the newest version", 30, lambda: served_version() == str(max(versions)))
    assert pair.most_training == 1


def test_a_scheduled_workflow_trains_on_drift_and_releases(first: tuple[str, dict], pair: Pair) -> None:
    before, found = workflows.outputs(first[1])["version"], workflows.outputs(pair.statuses[0])
    drift = rf".*the last [0-9,]+ images have drifted from the validation images of version {before}: intensity .*"
    assert found["trained"] == "true" and re.fullmatch(drift, found["reason"])
    history = execute("predict-service", "python3", "/pipeline-admin.py", "history")
    assert re.search(rf" released +{found['version']} ", history)


def statuses(service: str) -> list[dict]:
    """Return the status of the model in each replica of a service."""
    selector = f"--selector=serving.kserve.io/inferenceservice={service}"
    addresses = kubectl("get", "pods", selector, "--output=jsonpath={.items[*].status.podIP}").split()
    script = f"import urllib.request as u; print(u.urlopen('http://ADDRESS:8080/v1/models/{service}').read().decode())"
    scripts = [script.replace("ADDRESS", one) for one in addresses]
    return [json.loads(execute("predict-service", "python3", "-c", one)) for one in scripts]


def releases(service: str, version: str) -> list[list[str]]:
    """Return the stages of a version in each replica of a service."""
    found = [status["releases"] for status in statuses(service)]
    return [[entry["stage"] for entry in entries if entry["version"] == version] for entries in found]


def answering() -> set[str]:
    """Return the versions that answer in the replicas of both services."""
    found = [entry for one in statuses("flower-sample") + statuses(OTHER) for entry in one["model_version_status"]]
    return {entry["version"] for entry in found if entry["state"] == "AVAILABLE"}


def last_decision() -> str:
    """Return the last line of the history's table."""
    printed = execute("predict-service", "python3", "/pipeline-admin.py", "history")
    return printed[: printed.index("\n\n")].splitlines()[-1]


def test_a_right_version_is_released_by_both_replicas(pair: Pair) -> None:
    newest = str(max(int(workflows.outputs(status)["version"]) for status in pair.statuses))
    wait_until("both have the version", 30, lambda: releases("flower-sample", newest) == [["released"], ["released"]])
    assert re.search(rf" released +{newest} .* every replica of [a-z-]+ has taken it over$", last_decision())


# Ask the service ten times a second until told to stop; print how often each version answered.
ASK = """
import collections, json, pathlib, time, urllib.request
answers = collections.Counter()
request = pathlib.Path("/tmp/request.json").read_bytes()
while not pathlib.Path("/tmp/stop").exists():
    try:
        url = "http://flower-sample-predictor/v1/models/flower-sample:predict"
        answers[json.load(urllib.request.urlopen(url, request, 10))["model_version"]] += 1
    except Exception as error:
        answers[repr(error)] += 1
    time.sleep(0.1)
print(json.dumps(answers))
"""


def test_a_version_wrong_for_one_class_fails_the_workflow(pair: Pair) -> None:
    before = served_version()
    kubectl("cp", "inference-input.json", "predict-service:/tmp/request.json")
    kubectl("cp", "tests/support/bad_versions.py", "predict-service:/tmp/bad_versions.py")
    command = ["kubectl", f"--namespace={NAMESPACE}", "exec", "predict-service", "--", "python3", "-c", ASK]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asking:
        make = ["PYTHONPATH=/opt/pipeline/src", "python3", "/tmp/bad_versions.py", "/trained_model", "wrong"]
        wrong = execute("predict-service", "env", *make).strip()
        name = workflows.submit_release(int(wrong))
        status = workflows.wait_for(name, "Failed")
        wait_until("no replica tries it", 30, lambda: "shadow" not in str(releases("flower-sample", wrong)))
        execute("predict-service", "touch", "/tmp/stop")
        answers = json.loads(asking.communicate(timeout=30)[0])
    assert answers.keys() == {before} and answers[before] > 50
    reason = r"replica [\d.:]+: .+ below version \d+'s .+ may be lost"
    assert re.search(rf"version {wrong} was rejected at .+: {reason}; to serve", workflows.messages(status))
    assert re.search(rf" rejected +{wrong} .* {reason}$", last_decision())
    # Argo does not retry a rejection.
    assert {node for node in workflows.nodes(status) if node.startswith(name)} == {name, f"{name}(0)"}


def test_replicas_follow_a_roll_back_by_kubectl_exec(pair: Pair) -> None:
    older, newest = sorted(int(workflows.outputs(status)["version"]) for status in pair.statuses)
    admin = ("python3", "/pipeline-admin.py")
    execute("access-model", *admin, "roll-back", f"--to={older}", "--reason=a test")
    wait_until("the replicas have the older version", 30, lambda: answering() == {str(older)})
    execute("access-model", *admin, "release", f"--version={newest}", "--reason=a test")
    wait_until("the replicas have the newest version", 30, lambda: answering() == {str(newest)})


def test_a_service_of_another_name_answers_under_that_name(pair: Pair) -> None:
    versions = [int(workflows.outputs(status)["version"]) for status in pair.statuses]
    for client, port in (("http_client.py", 80), ("grpc_client.py", 8081)):
        with forwarded(f"service/{OTHER}-predictor", port) as local:
            where = ["--host=127.0.0.1", f"--port={local}", f"--model-name={OTHER}"]
            command = [sys.executable, f"src/{client}", *where, "inference-input.png"]
            asked = subprocess.run(command, capture_output=True, check=False, text=True, cwd=ROOT)
        assert asked.stdout.startswith(f"{OTHER}, version {max(versions)}\n"), asked.stderr


def test_a_workflow_trains_its_model_once_with_each_seed(pair: Pair) -> None:
    nodes = workflows.nodes(pair.statuses[1])
    trained = {name: node["phase"] for name, node in nodes.items() if re.fullmatch(r"seed\(\d:\d\)", name)}
    assert trained == {"seed(0:1)": "Succeeded", "seed(1:2)": "Succeeded"}


def test_later_workflows_reuse_the_memoised_ingestion(pair: Pair) -> None:
    for status in pair.statuses:
        memoized = [node["memoizationStatus"] for node in status["nodes"].values() if node.get("memoizationStatus")]
        assert any(memo["hit"] for memo in memoized)


def test_the_service_keeps_its_scaling_and_outlives_its_workflow(first: tuple[str, dict], pair: Pair) -> None:
    kubectl("delete", "workflow", first[0])
    wait_until("the workflow's jobs are gone", 60, lambda: not workflows.jobs(first[0]))
    after = get("inferenceservice", "flower-sample")
    assert after["metadata"]["uid"] == pair.service_before
    assert after["spec"]["predictor"]["maxReplicas"] == 2


def test_a_winner_below_the_floor_fails_and_the_old_version_stays(first: tuple[str, dict]) -> None:
    before = served_version()
    status = workflows.wait_for(workflows.submit(accuracy_floor="1"), "Failed")
    assert "is below the floor 1" in workflows.messages(status)
    # As docs/workflow.md says, the workflow's own message has no reason.
    assert re.fullmatch(r"child '.+' failed", status["message"])
    assert served_version() == before
    # Argo does not retry a refusal.
    assert {node for node in workflows.nodes(status) if node.startswith("select")} == {"select", "select(0)"}


def test_argo_exports_the_metrics_that_the_workflow_defines(first: tuple[str, dict]) -> None:
    with forwarded("deployment/workflow-controller", 9090) as port:
        command = ["curl", "--silent", "--insecure", f"https://localhost:{port}/metrics"]
        metrics = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert set(re.findall(r"^argo_workflows_distml_\w+", metrics, re.MULTILINE)) == {
        "argo_workflows_distml_workflows_total",
        "argo_workflows_distml_workflow_seconds",
        "argo_workflows_distml_validation_accuracy",
        "argo_workflows_distml_published_version",
    }


def test_a_volume_without_data_is_filled_despite_the_memoised_step(first: tuple[str, dict]) -> None:
    execute("access-model", "rm", "-r", "/trained_model/datasets")
    name = workflows.submit()

    def memoised_and_filled() -> bool:
        nodes = workflows.nodes(get("workflow", name).get("status", {}))
        filled = nodes.get("check-data", {}).get("phase") == "Succeeded"
        return filled and any(node.get("memoizationStatus", {}).get("hit") for node in nodes.values())

    wait_until("the data check has passed", 180, memoised_and_filled)
    assert "fashion_mnist" in execute("access-model", "ls", "/trained_model/datasets")
    kubectl("delete", "workflow", name)


def workflow_in_training() -> tuple[str, str]:
    """Submit a workflow of 100 epochs, wait until its job has trained the first, and return the names of both."""
    name = workflows.submit(epochs="100")
    (job,) = wait_until("the workflow's job exists", 120, lambda: workflows.jobs(name))
    tfjobs.wait_for_output(job, "epoch 1/100  loss", 180)
    return name, job


def test_a_workflow_deleted_in_training_leaves_no_job_and_no_worker() -> None:
    name, job = workflow_in_training()
    kubectl("delete", "workflow", name)
    wait_until("the workflow's job is gone", 60, lambda: not workflows.jobs(name))
    wait_until("the job's workers are gone", 60, lambda: job not in run("get", "pods").stdout)


def test_a_workflow_stopped_in_training_leaves_no_running_job() -> None:
    name, job = workflow_in_training()
    kubectl("patch", "workflow", name, "--type=merge", '--patch={"spec": {"shutdown": "Stop"}}')
    workflows.wait_for(name, "Failed", seconds=120)
    assert workflows.training(name) == []
    wait_until("the job's workers are gone", 30, lambda: job not in run("get", "pods").stdout)


def test_a_workflow_past_its_deadline_leaves_no_running_job() -> None:
    name = workflows.submit(("activeDeadlineSeconds: 57600", "activeDeadlineSeconds: 90"), epochs="100")
    (job,) = wait_until("the workflow's job exists", 90, lambda: workflows.jobs(name))
    workflows.wait_for(name, "Failed", seconds=180)
    assert workflows.training(name) == []
    wait_until("the job's workers are gone", 30, lambda: job not in run("get", "pods").stdout)


def test_a_deleted_job_fails_its_step_and_the_retry_creates_another() -> None:
    name, job = workflow_in_training()
    kubectl("delete", "tfjob", job)
    wait_until("the retry has created another job", 90, lambda: workflows.jobs(name) not in ([], [job]))
    status = get("workflow", name)["status"]
    assert "batchnorm-seed1 was not trained: its TFJob was deleted" in workflows.messages(status)
    assert workflows.nodes(status)["former"]["phase"] == "Succeeded"
    kubectl("delete", "workflow", name)


def test_wrong_input_uses_up_the_back_off_limit_and_is_not_retried() -> None:
    limit = ("backoffLimit: {{=3 * asInt(workflow.parameters.workers)}}", "backoffLimit: 1")
    batch = (
        "{{=asInt(workflow.parameters['batch-per-worker'])}}",
        "12800",
    )  # the first step would refuse the parameter
    name = workflows.submit(limit, batch)
    status = workflows.wait_for(name, "Failed", seconds=300)
    reason = "ended with status 2: a global batch of 25600 is more than the 12800 training images"
    (job,) = workflows.jobs(name)
    assert f"TFJob {job} did not succeed: worker " in workflows.messages(status)
    assert "batchnorm-seed1 is not retried, since the same input would fail again: worker " in workflows.messages(
        status
    )
    assert workflows.messages(status).count(reason) >= 2


def test_a_deleted_worker_fails_its_job_and_the_retry_resumes() -> None:
    name = workflows.submit(epochs="3", train_images="25600")
    (job,) = wait_until("the workflow's job exists", 120, lambda: workflows.jobs(name))
    tfjobs.wait_for_output(job, "epoch 1/3  loss", 180)
    kubectl("delete", "pod", f"{job}-worker-1")
    workflows.wait_for(name, "Succeeded")
    assert workflows.candidates(name) == [f"{name}-batchnorm-1"] * 2
    assert "from its checkpoint" in tfjobs.logs(workflows.jobs(name)[-1], 0)
    assert len(tfjobs.history(name)) == 3


def test_a_missing_image_fails_at_the_deadline_with_the_reason() -> None:
    image = ("image: {{=toJson(workflow.parameters.image)}}", "image: kubeflow/no-such-image:v0")
    name = workflows.submit(image, training_deadline="10")
    status = workflows.wait_for(name, "Failed", seconds=500)
    message = workflows.messages(status)
    assert (
        f"TFJob {workflows.jobs(name)[0]} did not succeed" in message and "for more, run kubectl get events" in message
    )
    assert "no-such-image" in message or "ErrImagePull" in message
    attempts = [node for node in workflows.nodes(status) if node.startswith("seed(0:")]
    assert "seed(0:1)(0)" in attempts and "seed(0:1)(1)" not in attempts
    assert workflows.training(name) == []
