"""End the TFJobs of a workflow that have not ended, and wait until none of their workers can write any more.

    python3 /end-training.py --workflow distml-7k2px

A workflow runs it at its end; for one model, before it trains that again; and after a training that failed, with
`--failed-job`: then it fails itself, with the reason as its message.
"""

import argparse
import http
import os
import time
from datetime import UTC, datetime
from typing import Any

from kubernetes import client, config

from distml.step import command_line, outcome
from distml.step.progress_bar import say, working
from distml.training import failure_record

GROUP, VERSION, PLURAL = "kubeflow.org", "v1", "tfjobs"
JOB_LABEL = "training.kubeflow.org/job-name"
WORKFLOW_LABEL = "workflows.argoproj.io/workflow"
MODEL_LABEL = "model"


class TrainingFailed(outcome.StepError):
    """A TFJob that did not succeed; starting another one may help."""

    exit_status = 1


def main(args: argparse.Namespace) -> None:
    try:
        if "KUBERNETES_SERVICE_HOST" in os.environ:
            config.load_incluster_config()
        else:
            config.load_kube_config()
    except config.ConfigException as error:
        raise outcome.StepError(f"no cluster: {error}; run it in a pod, or set KUBECONFIG") from None
    # Any: in the client's types each field may be missing, in the cluster those used here are there.
    jobs: Any = client.CustomObjectsApi()
    core: Any = client.CoreV1Api()
    selector = f"{WORKFLOW_LABEL}={args.workflow}" + (f",{MODEL_LABEL}={args.model}" if args.model else "")
    reasons = end_jobs(jobs, core, args.namespace, selector)
    with working("waiting for the workers to end"):
        wait_for_workers(core, args.namespace, selector, args.timeout)
    failure = failure_record.read(args.volume.failure(args.workflow, args.model)) if args.model else None
    if args.failed_job:
        reason = reasons.get(args.failed_job, "it is not there; somebody deleted it, or it could not be created")
        raise TrainingFailed(
            f"TFJob {args.failed_job} did not succeed: {f'{failure}; ' if failure else ''}{reason}; more: kubectl get"
            f" events --namespace={args.namespace} | grep {args.failed_job}"
        )
    if failure and failure.status == failure_record.WRONG_INPUT:
        raise outcome.StepError(f"{args.model} is not trained again, as it would end alike: {failure}")


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
        reasons[name] = why(job, [pod for pod in pods if pod.metadata.labels[JOB_LABEL] == name], warnings)
        if ended(job):
            say(f"TFJob {name} has ended: {reasons[name]}")
        else:
            say(f"ending TFJob {name}: {reasons[name]}")
            delete(jobs, namespace, name)
    return reasons


def delete(jobs: Any, namespace: str, name: str) -> None:
    try:
        jobs.delete_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL, name)
    except client.ApiException as error:
        if error.status != http.HTTPStatus.NOT_FOUND:  # somebody else was faster
            raise


def ended(job: dict[str, Any]) -> bool:
    return any(condition["type"] in ("Succeeded", "Failed") for condition in holding(job))


def holding(job: dict[str, Any]) -> list[dict[str, Any]]:
    conditions = job.get("status", {}).get("conditions") or []
    return [condition for condition in conditions if condition["status"] == "True"]


def why(job: dict[str, Any], pods: list[Any], warnings: list[Any]) -> str:
    """One line: why a job has not succeeded, from its conditions, or from what its pods wait for.

    Of a job that failed only pods that had ended are left; of the `warnings`, events of all pods, the last of its own
    may tell.
    """
    for condition in holding(job):
        if condition["type"] == "Failed":
            return "; ".join(filter(None, [condition["message"], last_warning(job["metadata"]["name"], warnings)]))
        if condition["type"] == "Succeeded":
            return "it did, but its step had not noticed yet"
    return "; ".join(filter(None, map(waits_for, pods))) or "it had not ended yet"


def last_warning(job: str, warnings: list[Any]) -> str:
    """The last event of the job's pods; one that explains comes before one that only names, "Error: ErrImagePull"."""
    its_own = [event for event in warnings if event.involved_object.name.startswith(f"{job}-worker-")]
    if not its_own:
        return ""
    last = max(its_own, key=lambda event: (not event.message.startswith("Error: "), time_of(event)))
    return f"{last.involved_object.name}, {last.reason}: {last.message}"


def time_of(event: Any) -> datetime:
    return event.last_timestamp or event.event_time or datetime.min.replace(tzinfo=UTC)


def waits_for(pod: Any) -> str:
    """What keeps a pod from running, such as an image that cannot be pulled; empty for one that runs."""
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


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.step_parser(__doc__.splitlines()[0])
    parser.add_argument("--workflow", required=True, help="name of the workflow whose jobs are meant, and of its run")
    parser.add_argument("--model", help="the jobs of this model alone; fails when its input was wrong")
    parser.add_argument("--failed-job", help="this job of the model has failed, and so will this step")
    parser.add_argument("--namespace", default="kubeflow", help="where the jobs are")
    parser.add_argument(
        "--timeout", type=command_line.positive, default=240, help="seconds that the workers have to end"
    )
    args = parser.parse_args(argv)
    if args.failed_job and not args.model:
        parser.error("--failed-job needs --model")
    return args


if __name__ == "__main__":
    outcome.run(main, parse_args())
