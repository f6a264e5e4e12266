"""The TFJobs of a workflow: which there are, how to end them, and why one has not succeeded."""

import http
import os
import time
from datetime import UTC, datetime
from typing import Any

from kubernetes import client, config

from distml.step import outcome
from distml.step.progress_bar import say, working
from distml.step.volume import Volume
from distml.training import failure_record

GROUP, VERSION, PLURAL = "kubeflow.org", "v1", "tfjobs"
JOB_LABEL = "training.kubeflow.org/job-name"
WORKFLOW_LABEL = "workflows.argoproj.io/workflow"
MODEL_LABEL = "model"


class TrainingFailed(outcome.StepError):
    """A TFJob that did not succeed; starting another one may help."""

    exit_status = 1


def end_training(
    volume: Volume,
    workflow: str,
    namespace: str,
    seconds: float,
    model: str | None = None,
    failed_job: str | None = None,
) -> None:
    """End the jobs of a workflow that have not ended, and wait until none of their workers can write any more.

    Args:
        volume: holds what the workers of `model` said when they failed.
        workflow: its name, which is its run's too.
        namespace: where the jobs are.
        seconds: that the workers have to end.
        model: end the jobs of this model alone.
        failed_job: the job of `model` that has failed.

    Raises:
        TrainingFailed: the reason why `failed_job` has; or workers did not end in time.
        StepError: there is no cluster, or the input of `model` was wrong, so that another attempt would end alike.
    """
    jobs, core = connect()
    selector = f"{WORKFLOW_LABEL}={workflow}" + (f",{MODEL_LABEL}={model}" if model else "")
    reasons = end_jobs(jobs, core, namespace, selector)
    with working("waiting for the workers to end"):
        wait_for_workers(core, namespace, selector, seconds)
    failure = failure_record.read(volume.failure(workflow, model)) if model else None
    if failed_job:
        reason = reasons.get(failed_job, "it is not there; somebody deleted it, or it could not be created")
        raise TrainingFailed(
            f"TFJob {failed_job} did not succeed: {f'{failure}; ' if failure else ''}{reason}; more: kubectl get"
            f" events --namespace={namespace} | grep {failed_job}"
        )
    if failure and failure.status == failure_record.WRONG_INPUT:
        raise outcome.StepError(f"{model} is not trained again, as it would end alike: {failure}")


def connect() -> tuple[Any, Any]:
    """Return the parts of the cluster's API for TFJobs and for pods, in a pod or by KUBECONFIG.

    Any: in the client's types each field may be missing, in the cluster those used here are there.

    Raises:
        StepError: there is no cluster.
    """
    try:
        if "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config()
        else:
            config.load_kube_config()
    except config.ConfigException as error:
        raise outcome.StepError(f"no cluster: {error}; run it in a pod, or set KUBECONFIG") from None
    return client.CustomObjectsApi(), client.CoreV1Api()


def end_jobs(jobs: Any, core: Any, namespace: str, selector: str) -> dict[str, str]:
    """Delete the jobs that have not ended; returns why each of all has not succeeded."""
    found = jobs.list_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, label_selector=selector)["items"]
    pods = core.list_namespaced_pod(namespace, label_selector=f"{selector},{JOB_LABEL}").items
    warnings = core.list_namespaced_event(namespace, field_selector="involvedObject.kind=Pod,type=Warning").items
    if not found:
        say("there is no TFJob to end")
    reasons = {}
    for job in found:
        name = job["metadata"]["name"]
        reasons[name] = reason_of(job, [pod for pod in pods if pod.metadata.labels[JOB_LABEL] == name], warnings)
        if has_ended(job):
            say(f"TFJob {name} has ended: {reasons[name]}")
        else:
            say(f"ending TFJob {name}: {reasons[name]}")
            delete(jobs, namespace, name)
    return reasons


def delete(jobs: Any, namespace: str, name: str) -> None:
    """Delete a job, unless it is gone already."""
    try:
        jobs.delete_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, name)
    except client.ApiException as error:
        if error.status != http.HTTPStatus.NOT_FOUND:  # another client was faster
            raise


def has_ended(job: dict[str, Any]) -> bool:
    """Tell whether a job has succeeded or failed."""
    return any(condition["type"] in ("Succeeded", "Failed") for condition in true_conditions(job))


def true_conditions(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the conditions of a job that hold now."""
    conditions = job.get("status", {}).get("conditions") or []
    return [condition for condition in conditions if condition["status"] == "True"]


def reason_of(job: dict[str, Any], pods: list[Any], warnings: list[Any]) -> str:
    """Return in one line why a job has not succeeded, from its conditions, or from what its pods wait for.

    Of a job that failed only pods that had ended are left; of the `warnings`, events of all pods, the last of its own
    may tell.
    """
    for condition in true_conditions(job):
        if condition["type"] == "Failed":
            return "; ".join(filter(None, [condition["message"], last_warning(job["metadata"]["name"], warnings)]))
        if condition["type"] == "Succeeded":
            return "it succeeded, but the workflow step had not seen that yet"
    return "; ".join(filter(None, map(waits_for, pods))) or "it had not ended yet"


def last_warning(job: str, warnings: list[Any]) -> str:
    """Return the last event of the job's pods; one that explains comes before a mere name, "Error: ErrImagePull"."""
    its_own = [event for event in warnings if event.involved_object.name.startswith(f"{job}-worker-")]
    if not its_own:
        return ""
    last = max(its_own, key=lambda event: (not event.message.startswith("Error: "), time_of(event)))
    return f"{last.involved_object.name}, {last.reason}: {last.message}"


def time_of(event: Any) -> datetime:
    """Return when an event last happened, for comparison."""
    return event.last_timestamp or event.event_time or datetime.min.replace(tzinfo=UTC)


def waits_for(pod: Any) -> str:
    """Return what keeps a pod from running, such as an image that cannot be pulled; empty for one that runs."""
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
    """Wait until no worker runs any more, of deleted jobs either: another job would write the same checkpoints."""
    deadline = time.monotonic() + seconds
    while True:
        listed = core.list_namespaced_pod(namespace, label_selector=f"{selector},{JOB_LABEL}").items
        running = [pod.metadata.name for pod in listed if pod.status.phase in ("Pending", "Running", "Unknown")]
        if not running:
            return
        if time.monotonic() > deadline:
            raise TrainingFailed(f"{', '.join(running)} did not end within {seconds:.0f} s; see kubectl describe pod")
        time.sleep(1)
