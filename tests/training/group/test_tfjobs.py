"""The reason why a TFJob did not succeed, and the report about it; tests/cluster checks that jobs really end."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from kubernetes.client import (
    CoreV1Event,
    V1ContainerState,
    V1ContainerStateWaiting,
    V1ContainerStatus,
    V1ObjectMeta,
    V1ObjectReference,
    V1Pod,
    V1PodCondition,
    V1PodStatus,
)

import pipeline_admin
from distml.publishing.service import kubernetes_api
from distml.step import outcome
from distml.step.volume import Volume
from distml.training.group import tfjobs
from distml.training.group.tfjobs import has_ended, reason_of


def job(*conditions: tuple[str, str, str]) -> dict:
    entries = [{"type": kind, "status": status, "message": message} for kind, status, message in conditions]
    return {"metadata": {"name": "j", "creationTimestamp": "2026-01-01T00:00:00Z"}, "status": {"conditions": entries}}


def waiting(reason: str, message: str | None) -> V1Pod:
    state = V1ContainerState(waiting=V1ContainerStateWaiting(reason=reason, message=message))
    container = V1ContainerStatus(name="tensorflow", state=state, image="i", image_id="", ready=False, restart_count=0)
    return V1Pod(metadata=V1ObjectMeta(name="j-worker-0"), status=V1PodStatus(container_statuses=[container]))


def unscheduled(message: str) -> V1Pod:
    condition = V1PodCondition(type="PodScheduled", status="False", reason="Unschedulable", message=message)
    return V1Pod(metadata=V1ObjectMeta(name="j-worker-1"), status=V1PodStatus(conditions=[condition]))


def warning(pod: str, reason: str, message: str, minute: int = 0) -> CoreV1Event:
    return CoreV1Event(
        metadata=V1ObjectMeta(name="e"),
        involved_object=V1ObjectReference(name=pod),
        reason=reason,
        message=message,
        last_timestamp=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute),
    )


RUNNING = V1Pod(metadata=V1ObjectMeta(name="j-worker-1"), status=V1PodStatus(phase="Running"))
TOO_LONG = job(("Running", "False", "running"), ("Failed", "True", "j was active longer than specified deadline"))
TRAINING = job(("Created", "True", "created"), ("Running", "True", "running"))


def test_a_failed_jobs_reason_is_the_message_of_its_condition() -> None:
    failed = job(("Running", "False", "running"), ("Failed", "True", "it reached its back-off limit"))
    assert has_ended(failed)
    assert reason_of(failed, [], []) == "it reached its back-off limit"


def test_a_failed_jobs_reason_includes_its_last_useful_warning() -> None:
    warnings = [
        warning("j-worker-1", "FailedScheduling", "no node", minute=0),
        warning("j-worker-0", "Failed", 'Failed to pull image "no-such-image": not found', minute=1),
        warning("j-worker-0", "Failed", "Error: ErrImagePull", minute=2),
        warning("jj-worker-0", "BackOff", "of another job", minute=3),
    ]
    assert reason_of(TOO_LONG, [], warnings) == (
        "j was active longer than specified deadline;"
        ' j-worker-0, Failed: Failed to pull image "no-such-image": not found'
    )


def test_a_job_has_ended_only_if_it_succeeded_or_failed() -> None:
    assert not has_ended(TRAINING)
    assert not has_ended({"metadata": {"name": "j"}})
    assert has_ended(job(("Succeeded", "True", "done")))


def test_a_running_jobs_reason_names_a_pod_that_waits_for_its_image() -> None:
    pods = [waiting("ErrImagePull", "not found"), RUNNING]
    assert reason_of(TRAINING, pods, []) == "j-worker-0 waits, ErrImagePull: not found"


def test_a_running_jobs_reason_names_a_pod_that_cannot_be_scheduled() -> None:
    assert reason_of(TRAINING, [unscheduled("0/1 nodes are available")], []) == (
        "j-worker-1 waits, Unschedulable: 0/1 nodes are available"
    )


def test_a_running_jobs_reason_names_no_pod_that_is_starting() -> None:
    assert reason_of(TRAINING, [waiting("ContainerCreating", None), RUNNING], []) == "it had not ended yet"


class Cluster:
    """A fake namespace with TFJobs and without pods, in place of both API clients."""

    def __init__(self, *jobs: dict) -> None:
        self.jobs = list(jobs)
        self.deleted: list[str] = []
        self.selectors: list[str] = []

    def list_namespaced_custom_object(self, *_: str, label_selector: str) -> dict:
        self.selectors.append(label_selector)
        return {"items": self.jobs}

    def delete_namespaced_custom_object(self, *names: str) -> None:
        self.deleted.append(names[-1])

    def list_namespaced_pod(self, namespace: str, label_selector: str) -> SimpleNamespace:
        self.selectors.append(label_selector)
        return SimpleNamespace(items=[])

    def list_namespaced_event(self, namespace: str, field_selector: str) -> SimpleNamespace:
        return SimpleNamespace(items=[])


@pytest.fixture
def end_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Return a function that runs `end-training` against a fake cluster, with or without a failure record."""
    monkeypatch.setattr(kubernetes_api.config, "load_kube_config", lambda: None)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    def run(cluster: Cluster, *options: str, failure: dict | None = None) -> None:
        monkeypatch.setattr(tfjobs.client, "CustomObjectsApi", lambda: cluster)
        monkeypatch.setattr(tfjobs.client, "CoreV1Api", lambda: cluster)
        if failure:
            path = Volume(tmp_path).failure("distml-1", "plain", 1)
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(failure))
        command = ["end-training", f"--volume={tmp_path}", "--workflow=distml-1", *options]
        pipeline_admin.main(pipeline_admin.parse_args(command))

    return run


PLAIN = ("--model=plain", "--seed=1")
EXPLAIN = "--explain-failure=2026-01-01T00:00:00Z"
LOST_PEER = {"worker": 1, "status": 5, "message": "lost a peer"}
WRONG_INPUT = {"worker": 0, "status": 2, "message": "a global batch of 9 is more than the 6 training images"}


def test_ending_a_workflow_deletes_only_its_unfinished_jobs(end_training: Callable[..., None]) -> None:
    cluster = Cluster(TRAINING, TOO_LONG)
    end_training(cluster)
    assert cluster.deleted == ["j"]
    workers = "workflows.argoproj.io/workflow=distml-1,training.kubeflow.org/job-name"
    assert cluster.selectors == ["workflows.argoproj.io/workflow=distml-1", workers, workers]


def test_a_failed_jobs_report_starts_with_the_workers_message(end_training: Callable[..., None]) -> None:
    with pytest.raises(tfjobs.TrainingFailed) as failed:
        end_training(Cluster(TOO_LONG), *PLAIN, EXPLAIN, failure=LOST_PEER)
    assert str(failed.value) == (
        "TFJob j did not succeed: worker 1 ended with status 5: lost a peer; j was active longer than"
        " specified deadline; for more, run kubectl get events --namespace=kubeflow | grep distml-1-plain-1-"
    )
    assert failed.value.exit_status == 1


def test_a_job_of_an_earlier_attempt_is_not_blamed(end_training: Callable[..., None]) -> None:
    with pytest.raises(tfjobs.TrainingFailed) as failed:
        end_training(Cluster(TOO_LONG), *PLAIN, "--explain-failure=2026-01-01T00:00:01+00:00", failure=LOST_PEER)
    assert str(failed.value).startswith("plain-seed1 was not trained: its TFJob was deleted or could not be created;")


def test_a_deleted_job_is_reported_as_missing(end_training: Callable[..., None]) -> None:
    with pytest.raises(tfjobs.TrainingFailed) as failed:
        end_training(Cluster(), *PLAIN, EXPLAIN)
    assert str(failed.value) == (
        "plain-seed1 was not trained: its TFJob was deleted or could not be created; for more, run kubectl get events"
        " --namespace=kubeflow | grep distml-1-plain-1-"
    )


def test_the_newest_of_a_candidates_jobs_is_explained(end_training: Callable[..., None]) -> None:
    newer = job(("Failed", "True", "it reached its back-off limit"))
    newer["metadata"] = {"name": "k", "creationTimestamp": "2026-01-01T00:00:01Z"}
    with pytest.raises(tfjobs.TrainingFailed, match=r"^TFJob k .+: it reached its back-off limit; for"):
        end_training(Cluster(newer, TOO_LONG), *PLAIN, EXPLAIN)


def test_a_lost_peer_ends_the_job_and_allows_another_attempt(end_training: Callable[..., None]) -> None:
    cluster = Cluster(TRAINING)
    end_training(cluster, *PLAIN, failure=LOST_PEER)
    assert cluster.deleted == ["j"]
    assert cluster.selectors[0] == "workflows.argoproj.io/workflow=distml-1,model=plain,seed=1"


def test_wrong_input_allows_no_other_attempt(end_training: Callable[..., None]) -> None:
    with pytest.raises(
        outcome.StepError, match=r"plain-seed1 is not retried.*worker 0 ended with status 2: a global"
    ) as refused:
        end_training(Cluster(TOO_LONG), *PLAIN, failure=WRONG_INPUT)
    assert refused.value.exit_status == 2
