"""TFJobs of two workers: training, a killed process, a deleted pod, a worker that never starts."""

import re

import pytest

from cluster import tfjobs
from cluster.kube import create, execute, get, kubectl, wait_until

pytestmark = pytest.mark.cluster


def test_two_workers_ingest_once_and_end_with_the_same_weights(trained: str) -> None:
    assert get("tfjob", trained)["status"]["replicaStatuses"]["Worker"]["succeeded"] == 2
    ingestions = [tfjobs.logs(trained, worker, "--container=ingest") for worker in (0, 1)]
    assert sum("\ningested Fashion-MNIST, 60,000 + 10,000 images" in text for text in ingestions) == 1
    weights = [re.findall("weights sha256 (.*)", tfjobs.logs(trained, worker)) for worker in (0, 1)]
    assert len(weights[0]) == 1
    assert weights[0] == weights[1]
    assert len(tfjobs.history(trained)) == 3


def test_a_worker_can_neither_write_nor_move_the_versions(trained: str) -> None:
    spec = tfjobs.pod(tfjobs.tfjob("versions"))
    del spec["initContainers"]
    (container,) = spec["containers"]
    script = "mkdir saved_model_versions/probe; mv saved_model_versions away; touch probe && rm probe && echo wrote"
    container |= {"command": ["sh", "-c", script], "workingDir": "/trained_model"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "versions"}}
    create({**pod, "spec": {**spec, "restartPolicy": "Never"}})
    try:
        wait_until("the pod has ended", 60, lambda: get("pod", "versions")["status"]["phase"] == "Succeeded")
        printed = kubectl("logs", "versions").splitlines()
    finally:
        kubectl("delete", "pod", "versions")  # it would keep the claim
    assert printed == [
        "mkdir: cannot create directory 'saved_model_versions/probe': Read-only file system",
        "mv: cannot move 'saved_model_versions' to 'away': Device or resource busy",
        "wrote",
    ]


def test_a_killed_process_restarts_the_group_from_its_checkpoint(trained: str) -> None:
    job = tfjobs.tfjob("killed", "--epochs=3", "--train-images=25600")
    # A container cannot kill its process 1. With a shared process namespace the worker is not process 1.
    tfjobs.pod(job)["shareProcessNamespace"] = True
    create(job)
    tfjobs.wait_for_output("killed", "epoch 1/3  loss", 180)
    assert "killed" in execute("killed-worker-1", "python3", "-c", tfjobs.KILL)
    tfjobs.wait_for("killed", "Succeeded", seconds=240)
    assert tfjobs.restarts("killed", 1) >= 1
    assert tfjobs.restarts("killed", 0) >= 1
    assert re.search(r"resuming after epoch [12]/3 from its checkpoint", tfjobs.logs("killed", 0))
    assert len(tfjobs.history("killed")) == 3
    tfjobs.delete("killed")


def test_a_deleted_pod_fails_the_job_and_the_next_job_resumes(trained: str) -> None:
    arguments = ("--epochs=3", "--train-images=25600")
    job = tfjobs.tfjob("deleted", *arguments)
    # Long enough to tell a worker that exits on SIGTERM from one that is killed after this period.
    tfjobs.pod(job)["terminationGracePeriodSeconds"] = 120
    create(job)
    tfjobs.wait_for_output("deleted", "epoch 1/3  loss", 180)
    kubectl("delete", "pod", "deleted-worker-1", "--timeout=30s")
    tfjobs.wait_for("deleted", "Failed", seconds=60)
    tfjobs.delete("deleted")
    tfjobs.submit("deleted", *arguments)
    tfjobs.wait_for("deleted", "Succeeded", seconds=240)
    assert re.search(r"resuming after epoch [12]/3 from its checkpoint", tfjobs.logs("deleted", 0))
    assert len(tfjobs.history("deleted")) == 3
    tfjobs.delete("deleted")


def test_a_job_with_an_unplaced_worker_ends_at_its_deadline(trained: str) -> None:
    job = tfjobs.tfjob("half-placed")
    job["spec"]["runPolicy"]["activeDeadlineSeconds"] = tfjobs.pod(job)["activeDeadlineSeconds"] = 30
    keep_apart(job)
    create(job)
    tfjobs.wait_for("half-placed", "Failed", seconds=90)
    wait_until("no worker is pending", 30, lambda: "half-placed" not in pending_pods())
    tfjobs.delete("half-placed")


def test_a_job_with_a_failing_ingestion_ends_at_its_deadline(trained: str) -> None:
    job = tfjobs.tfjob("no-input")
    job["spec"]["runPolicy"]["activeDeadlineSeconds"] = tfjobs.pod(job)["activeDeadlineSeconds"] = 30
    tfjobs.pod(job)["initContainers"][0]["command"] = ["false"]
    create(job)
    tfjobs.wait_for("no-input", "Failed", seconds=90)
    tfjobs.delete("no-input")


def test_a_missing_peer_ends_the_job_at_its_back_off_limit(trained: str) -> None:
    job = tfjobs.tfjob("alone", "--start-timeout=5")
    job["spec"]["runPolicy"]["backoffLimit"] = 1
    keep_apart(job)
    create(job)
    wait_until("worker 0 reports its missing peer", 90, lambda: "waiting for all 2 workers to start" in output("alone"))
    tfjobs.wait_for("alone", "Failed", seconds=120)
    tfjobs.delete("alone")


def test_only_finished_pods_outlive_the_back_off_limit(pods: None) -> None:
    job = tfjobs.tfjob("kept")
    job["spec"]["runPolicy"]["backoffLimit"] = 1
    del tfjobs.pod(job)["initContainers"]
    (container,) = tfjobs.pod(job)["containers"]
    container["command"] = ["sh", "-c", "echo here is $HOSTNAME; test $HOSTNAME = kept-worker-1 || { sleep 5; false; }"]
    create(job)
    tfjobs.wait_for("kept", "Failed", seconds=120)
    selector = "--selector=training.kubeflow.org/job-name=kept"
    phases = "--output=jsonpath={range .items[*]}{.metadata.name} {.status.phase} {end}"
    wait_until("worker 0 is gone", 30, lambda: "kept-worker-0" not in kubectl("get", "pods", selector, phases))
    assert kubectl("get", "pods", selector, phases).split() == ["kept-worker-1", "Succeeded"]
    assert tfjobs.logs("kept", 1) == "here is kept-worker-1\n"
    tfjobs.delete("kept")


def pending_pods() -> str:
    return kubectl("get", "pods", "--field-selector=status.phase=Pending", "--output=name")


def output(name: str) -> str:
    return tfjobs.logs(name, 0) + tfjobs.logs(name, 0, "--previous")


def keep_apart(job: dict) -> None:
    """Pin a job's workers to one node and forbid them to share it, so that only one worker starts."""
    node = kubectl("get", "nodes", "--output=jsonpath={.items[0].metadata.labels.kubernetes\\.io/hostname}")
    tfjobs.pod(job)["nodeSelector"] = {"kubernetes.io/hostname": node}
    term = {
        "topologyKey": "kubernetes.io/hostname",
        "labelSelector": {"matchLabels": {"training.kubeflow.org/job-name": job["metadata"]["name"]}},
    }
    tfjobs.pod(job)["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
