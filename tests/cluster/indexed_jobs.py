"""Indexed Jobs made from multi-worker-job.yaml: creating, watching and deleting them."""

import json

import yaml

from cluster.kube import ROOT, create, get, kubectl, run, wait_until

TEXT = (ROOT / "multi-worker-job.yaml").read_text()
# Kubernetes counts an index's failures on the pod that replaces the failed one.
COUNTS = ("batch.kubernetes.io/job-index-failure-count", "batch.kubernetes.io/job-index-ignored-failure-count")


def indexed_job(name: str, *arguments: str) -> tuple[dict, dict]:
    """Return the file's Service and Job with a new name, a run of that name, and additional training arguments."""
    service, job = yaml.safe_load_all(TEXT.replace("multi-worker-training", name))
    pod(job)["containers"][0]["command"] += [f"--run={name}", *arguments]
    return service, job


def pod(job: dict) -> dict:
    return job["spec"]["template"]["spec"]


def submit(service: dict, job: dict) -> None:
    create(service)
    create(job)


def wait_for(name: str, condition: str, seconds: float) -> str:
    """Wait until a condition is true; return its reason. A job that ends differently fails the test at once."""

    def reason() -> str | None:
        found = get("job", name).get("status", {}).get("conditions") or []
        true = {entry["type"]: entry.get("reason", "") for entry in found if entry["status"] == "True"}
        ended = {"Complete", "Failed"} & true.keys() - {condition}
        assert not ended, f"{name}: {true}\n{logs(name, 0)}\n{logs(name, 1)}"
        return true.get(condition)

    return wait_until(f"job {name} is {condition}", seconds, reason)


def pods(name: str) -> list[dict]:
    """Return the job's pods, the oldest first; a deleted pod is gone, a failed one is not."""
    options = (f"--selector=batch.kubernetes.io/job-name={name}", "--sort-by=.metadata.creationTimestamp")
    return json.loads(kubectl("get", "pods", *options, "--output=json"))["items"]


def index_of(found: dict) -> int:
    return int(found["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"])


def workers(name: str) -> dict[int, dict]:
    """Return the newest pod of each index."""
    return {index_of(found): found for found in pods(name)}


def failures(name: str) -> dict[int, tuple[int, int]]:
    """Return how many failures of each index count, and how many the job ignores."""
    notes = {index: found["metadata"]["annotations"] for index, found in workers(name).items()}
    return {index: (int(of.get(COUNTS[0], 0)), int(of.get(COUNTS[1], 0))) for index, of in sorted(notes.items())}


def logs(name: str, index: int) -> str:
    """Return the output of an index's pods, the oldest first; empty before the first starts."""
    names = [found["metadata"]["name"] for found in pods(name) if index_of(found) == index]
    return "".join(run("logs", pod_name, "--container=tensorflow").stdout for pod_name in names)


def wait_for_output(name: str, text: str, seconds: float) -> None:
    wait_until(f"worker 0 of {name} prints {text!r}", seconds, lambda: text in logs(name, 0))


def on_the_claim() -> list[str]:
    """Return the names of the jobs that mount the claim."""
    jobs = json.loads(kubectl("get", "jobs", "--output=json"))["items"]
    return [job["metadata"]["name"] for job in jobs if '"claimName": "strategy-volume"' in json.dumps(job)]


def delete(name: str) -> None:
    """Delete a job and its Service, and wait until its workers are gone."""
    kubectl("delete", f"job/{name}", f"service/{name}", "--cascade=foreground", "--ignore-not-found")
