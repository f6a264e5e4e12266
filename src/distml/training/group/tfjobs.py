"""The TFJobs of a workflow: ending them, and the reason why one has not succeeded."""

import http
import time
from datetime import UTC, datetime
from typing import Any

from kubernetes import client

from distml.publishing.service import kubernetes_api
from distml.step import outcome
from distml.step.progress_bar import say, working
from distml.step.volume import Volume, candidate_name
from distml.training import failure_record

GROUP, VERSION, PLURAL = "kubeflow.org", "v1", "tfjobs"
JOB_LABEL = "training.kubeflow.org/job-name"
WORKFLOW_LABEL = "workflows.argoproj.io/workflow"
MODEL_LABEL, SEED_LABEL = "model", "seed"


class TrainingFailed(outcome.StepError):
    """A TFJob did not succeed, or its workers did not end in time; a retry may succeed."""

    exit_status = 1


def end_training(
    volume: Volume,
    workflow: str,
    namespace: str,
    seconds: float,
    candidate: tuple[str, int] | None = None,
    explain_since: datetime | None = None,
) -> None:
    """Delete the unfinished jobs of a workflow, and wait until none of their workers can write any more.

    Args:
        volume: the volume with the candidate's failure record.
        workflow: the workflow's name, which is also its run's.
        namespace: the jobs' namespace.
        seconds: how long the workers may take to end.
        candidate: end only the jobs of this model and seed.
        explain_since: raise TrainingFailed with the reason why the newest job of `candidate` has not succeeded. A job
            created before this time belongs to an earlier attempt, and does not count.

    Raises:
        TrainingFailed: a failure was to be explained, or the workers did not end in time.
        StepError: there is no cluster, or the candidate's input was wrong, so that another attempt would fail too.
    """
    jobs, core = connect()
    selector = f"{WORKFLOW_LABEL}={workflow}"
    if candidate:
        selector += f",{MODEL_LABEL}={candidate[0]},{SEED_LABEL}={candidate[1]}"
    ended = end_jobs(jobs, core, namespace, selector)
    with working("waiting for the workers to end"):
        wait_for_workers(core, namespace, selector, seconds)
    failure = failure_record.read(volume.failure(workflow, *candidate)) if candidate else None
    if candidate and explain_since:
        jobs_of_candidate = "-".join(map(str, (workflow, *candidate)))
        current = [(job, reason) for created, job, reason in ended if created >= explain_since]
        raise TrainingFailed(
            f"{explanation(current, candidate, failure)}; for more, run kubectl get events --namespace={namespace} |"
            f" grep {jobs_of_candidate}-"
        )
    if candidate and failure and failure.status == failure_record.WRONG_INPUT:
        name = candidate_name(*candidate)
        raise outcome.StepError(f"{name} is not retried, since the same input would fail again: {failure}")


def explanation(
    reasons: list[tuple[str, str]], candidate: tuple[str, int], failure: failure_record.Failure | None
) -> str:
    """Return why the newest of a candidate's jobs, the last in `reasons`, has not succeeded."""
    if not reasons:
        return f"{candidate_name(*candidate)} was not trained: its TFJob was deleted or could not be created"
    job, reason = reasons[-1]
    return f"TFJob {job} did not succeed: {f'{failure}; ' if failure else ''}{reason}"


def connect() -> tuple[Any, Any]:
    """Return the API clients for TFJobs and for pods, configured by the pod or by KUBECONFIG.

    Their type is Any: the client's own types declare every field optional, but the fields used here are always set.

    Raises:
        StepError: there is no cluster.
    """
    kubernetes_api.configure()
    return client.CustomObjectsApi(), client.CoreV1Api()


def end_jobs(jobs: Any, core: Any, namespace: str, selector: str) -> list[tuple[datetime, str, str]]:
    """Delete the unfinished jobs.

    Returns:
        for each job, the oldest first: when it was created, its name, and the reason why it has not succeeded.
    """
    found = jobs.list_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, label_selector=selector)["items"]
    pods = core.list_namespaced_pod(namespace, label_selector=f"{selector},{JOB_LABEL}").items
    warnings = core.list_namespaced_event(namespace, field_selector="involvedObject.kind=Pod,type=Warning").items
    if not found:
        say("there is no TFJob to end")
    ended = []
    for job in sorted(found, key=lambda job: job["metadata"]["creationTimestamp"]):
        name = job["metadata"]["name"]
        reason = reason_of(job, [pod for pod in pods if pod.metadata.labels[JOB_LABEL] == name], warnings)
        ended.append((datetime.fromisoformat(job["metadata"]["creationTimestamp"]), name, reason))
        if has_ended(job):
            say(f"TFJob {name} has ended: {reason}")
        else:
            say(f"ending TFJob {name}: {reason}")
            delete(jobs, namespace, name)
    return ended


def delete(jobs: Any, namespace: str, name: str) -> None:
    """Delete a job, unless it is already gone."""
    try:
        jobs.delete_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, name)
    except client.ApiException as error:
        if error.status != http.HTTPStatus.NOT_FOUND:  # another client has deleted it
            raise


def has_ended(job: dict[str, Any]) -> bool:
    """Return whether a job has succeeded or failed."""
    return any(condition["type"] in ("Succeeded", "Failed") for condition in true_conditions(job))


def true_conditions(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the conditions of a job that are true now."""
    conditions = job.get("status", {}).get("conditions") or []
    return [condition for condition in conditions if condition["status"] == "True"]


def reason_of(job: dict[str, Any], pods: list[Any], warnings: list[Any]) -> str:
    """Return in one line why a job has not succeeded: from its conditions, or from what its pods wait for.

    When a job fails, its unfinished pods are deleted, but their last event may have the reason. `warnings` has the
    events of all pods.
    """
    for condition in true_conditions(job):
        if condition["type"] == "Failed":
            return "; ".join(filter(None, [condition["message"], last_warning(job["metadata"]["name"], warnings)]))
        if condition["type"] == "Succeeded":
            return "it succeeded, but the workflow step had not seen that yet"
    return "; ".join(filter(None, map(waits_for, pods))) or "it had not ended yet"


def last_warning(job: str, warnings: list[Any]) -> str:
    """Return the last event of the job's pods, preferring an explanation to a bare "Error: ErrImagePull"."""
    own = [event for event in warnings if event.involved_object.name.startswith(f"{job}-worker-")]
    if not own:
        return ""
    last = max(own, key=lambda event: (not event.message.startswith("Error: "), time_of(event)))
    return f"{last.involved_object.name}, {last.reason}: {last.message}"


def time_of(event: Any) -> datetime:
    """Return the time of an event's last occurrence, for comparison."""
    return event.last_timestamp or event.event_time or datetime.min.replace(tzinfo=UTC)


def waits_for(pod: Any) -> str:
    """Return what keeps a pod from running, such as an image that cannot be pulled; empty if the pod runs."""
    statuses = [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]
    waiting = [status.state.waiting for status in statuses if status.state and status.state.waiting]
    for state in waiting:
        if state.reason not in ("PodInitializing", "ContainerCreating"):
            return f"{pod.metadata.name} waits, {state.reason}: {state.message or 'no detail'}"
    for condition in pod.status.conditions or []:
        if condition.type == "PodScheduled" and condition.status != "True":
            return f"{pod.metadata.name} waits, {condition.reason}: {condition.message}"
    return ""


def wait_for_workers(core: Any, namespace: str, selector: str, seconds: float) -> None:
    """Wait until no worker runs, not even of deleted jobs: the next job writes the same checkpoints."""
    deadline = time.monotonic() + seconds
    while True:
        listed = core.list_namespaced_pod(namespace, label_selector=f"{selector},{JOB_LABEL}").items
        running = [pod.metadata.name for pod in listed if pod.status.phase in ("Pending", "Running", "Unknown")]
        if not running:
            return
        if time.monotonic() > deadline:
            raise TrainingFailed(f"{', '.join(running)} did not end within {seconds:.0f} s; run kubectl describe pod")
        time.sleep(1)
