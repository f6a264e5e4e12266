"""multi-worker-job.yaml: its workers are those of the TFJob, and its names and numbers fit together."""

from distml.step import outcome
from distml.training.group import tf_config
from support.yaml_files import documents, pod_spec

SERVICE, JOB = documents("multi-worker-job.yaml")
SPEC, POLICY = JOB["spec"], JOB["spec"]["podFailurePolicy"]["rules"]


def test_the_jobs_workers_equal_those_of_the_tfjob() -> None:
    ours, tfjob = pod_spec("multi-worker-job.yaml"), pod_spec("multi-worker-tfjob.yaml")
    assert (ours.pop("restartPolicy"), ours.pop("subdomain")) == ("Never", SERVICE["metadata"]["name"])
    assert SPEC["activeDeadlineSeconds"] == tfjob.pop("activeDeadlineSeconds")
    worker, original = ours["containers"][0], tfjob["containers"][0]
    del worker["env"][:2]  # see the next test
    original["ports"][0]["name"] = worker["ports"][0]["name"]
    assert ours == tfjob


def test_a_workers_variables_describe_its_group() -> None:
    variables = pod_spec("multi-worker-job.yaml")["containers"][0]["env"][:2]
    label = {"fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/job-name']"}}
    workers = str(SPEC["completions"])
    assert variables == [
        {"name": tf_config.JOB_NAME, "valueFrom": label},
        {"name": tf_config.JOB_COMPLETIONS, "value": workers},
    ]
    assert SPEC["parallelism"] == SPEC["completions"]


def test_the_service_lists_every_worker_under_the_jobs_name() -> None:
    name = JOB["metadata"]["name"]
    (container,) = pod_spec("multi-worker-job.yaml")["containers"]
    assert SERVICE["metadata"]["name"] == name
    assert SERVICE["spec"] == {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": {"batch.kubernetes.io/job-name": name},
        "ports": [{"name": "workers", "port": tf_config.JOB_PORT}],
    }
    assert container["ports"] == [{"name": "workers", "containerPort": tf_config.JOB_PORT}]


def test_only_a_workers_own_failures_count_and_wrong_input_is_final() -> None:
    disruption, wrong, ignored = POLICY
    assert disruption == {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    assert (wrong["action"], ignored["action"]) == ("FailJob", "Ignore")
    assert wrong["onExitCodes"] == {"operator": "In", "values": [outcome.StepError.exit_status]}
    assert ignored["onExitCodes"] == {"operator": "In", "values": [outcome.LOST_PEER, outcome.TERMINATED]}
    assert SPEC["maxFailedIndexes"] == 0
    assert "backoffLimit" not in SPEC


def test_two_pods_of_one_worker_never_write_at_the_same_time() -> None:
    assert (SPEC["completionMode"], SPEC["podReplacementPolicy"]) == ("Indexed", "Failed")
