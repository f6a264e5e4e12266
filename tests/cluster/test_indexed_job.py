"""Indexed Jobs of two workers end with the weights of a TFJob, also if one of their workers is lost."""

import json
import re

import pytest

from cluster import indexed_jobs, tfjobs
from cluster.kube import NAMESPACE, execute, get, kubectl

pytestmark = pytest.mark.cluster


def weights(output: str) -> list[str]:
    return re.findall("weights sha256 (.*)", output)


def start(name: str, drop_ignored_statuses: bool = False) -> None:
    """Start a job with the settings of the TFJob `trained`, and wait for its first checkpoint."""
    service, job = indexed_jobs.indexed_job(name, *tfjobs.THREE_EPOCHS)
    # A container cannot kill its process 1. With a shared process namespace the worker is not process 1.
    indexed_jobs.pod(job)["shareProcessNamespace"] = True
    if drop_ignored_statuses:
        job["spec"]["podFailurePolicy"]["rules"].pop()
    indexed_jobs.submit(service, job)
    indexed_jobs.wait_for_output(name, "epoch 1/3  loss", 180)


def check_the_end(name: str, trained: str) -> None:
    """Check that the job resumed, trained each epoch once, and has the weights of the undisturbed TFJob."""
    indexed_jobs.wait_for(name, "Complete", seconds=180)
    output = indexed_jobs.logs(name, 0)
    assert re.search(r"resuming after epoch [12]/3 from its checkpoint", output)
    assert re.findall(r"epoch (\d)/3  loss", output) == ["1", "2", "3"]
    assert len(tfjobs.history(name)) == 3
    assert weights(output) == weights(indexed_jobs.logs(name, 1)) == weights(tfjobs.logs(trained, 0))


def test_an_indexed_job_ends_with_the_weights_of_a_tfjob(trained: str) -> None:
    indexed_jobs.submit(*indexed_jobs.indexed_job("indexed", *tfjobs.THREE_EPOCHS))
    indexed_jobs.wait_for("indexed", "Complete", seconds=240)
    found = [weights(indexed_jobs.logs("indexed", index)) for index in (0, 1)]
    assert found == [weights(tfjobs.logs(trained, 0))] * 2
    assert len(found[0]) == 1
    assert indexed_jobs.failures("indexed") == {0: (0, 0), 1: (0, 0)}
    indexed_jobs.delete("indexed")


def test_a_killed_process_counts_as_one_failure_of_its_worker(trained: str) -> None:
    start("killed-process")
    chief = indexed_jobs.workers("killed-process")[0]["metadata"]["name"]
    assert "killed" in execute(chief, "python3", "-c", tfjobs.KILL)
    check_the_end("killed-process", trained)
    assert indexed_jobs.failures("killed-process") == {0: (1, 0), 1: (0, 1)}
    indexed_jobs.delete("killed-process")


def test_a_deleted_pod_is_replaced_and_the_group_resumes(trained: str) -> None:
    start("deleted-pod")
    former = indexed_jobs.workers("deleted-pod")[1]
    kubectl("delete", "pod", former["metadata"]["name"])
    check_the_end("deleted-pod", trained)
    assert indexed_jobs.failures("deleted-pod") == {0: (0, 1), 1: (0, 1)}
    assert indexed_jobs.workers("deleted-pod")[1]["status"]["podIP"] != former["status"]["podIP"]
    indexed_jobs.delete("deleted-pod")


def test_an_evicted_pod_is_not_a_failure_of_its_worker(trained: str) -> None:
    start("evicted", drop_ignored_statuses=True)
    pod = indexed_jobs.workers("evicted")[1]["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": NAMESPACE}}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction"
    kubectl("create", f"--raw={path}", "--filename=-", stdin=json.dumps(eviction))
    check_the_end("evicted", trained)
    assert indexed_jobs.failures("evicted") == {0: (1, 0), 1: (0, 1)}
    indexed_jobs.delete("evicted")


def test_a_worker_that_fails_too_often_fails_the_job(pods: None) -> None:
    service, job = indexed_jobs.indexed_job("too-often")
    del indexed_jobs.pod(job)["initContainers"]
    indexed_jobs.pod(job)["containers"][0]["command"] = ["sh", "-c", "exit $JOB_COMPLETION_INDEX"]
    job["spec"]["backoffLimitPerIndex"] = 0
    indexed_jobs.submit(service, job)
    assert indexed_jobs.wait_for("too-often", "Failed", seconds=90) == "MaxFailedIndexesExceeded"
    assert get("job", "too-often")["status"]["failedIndexes"] == "1"
    indexed_jobs.delete("too-often")


def test_wrong_input_fails_the_job_without_another_attempt(pods: None) -> None:
    service, job = indexed_jobs.indexed_job("wrong-input", "--epochs=none")
    del indexed_jobs.pod(job)["initContainers"]
    indexed_jobs.submit(service, job)
    assert indexed_jobs.wait_for("wrong-input", "Failed", seconds=90) == "PodFailurePolicy"
    output = indexed_jobs.logs("wrong-input", 0) + indexed_jobs.logs("wrong-input", 1)
    assert "argument --epochs: 'none' is not an integer" in output
    assert set(indexed_jobs.failures("wrong-input").values()) == {(0, 0)}
    indexed_jobs.delete("wrong-input")
