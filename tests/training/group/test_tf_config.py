"""TF_CONFIG, valid and invalid, as the operator or a person sets it."""

import json
from typing import Any

import pytest
import tensorflow as tf
from tensorflow.python.distribute import multi_worker_util

from distml.step import outcome
from distml.step.volume import Volume
from distml.training.group import tf_config
from distml.training.group.tf_config import WorkerGroup
from support.project import run_script


def read(
    monkeypatch: pytest.MonkeyPatch, cluster: object, kind: object = "worker", index: object = 0, **others: object
) -> WorkerGroup:
    config = {"cluster": cluster, "task": {"type": kind, "index": index}, **others}
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    return tf_config.read()


def test_the_chief_comes_before_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = {"worker": ["b:2222", "[fd00::3]:2222"], "chief": ["a.ns.svc:2222"]}
    addresses = ("a.ns.svc:2222", "b:2222", "[fd00::3]:2222")
    assert read(monkeypatch, cluster, "chief", environment="cloud") == WorkerGroup(addresses, 0)
    assert read(monkeypatch, cluster, "worker", 1, rpc_layer="grpc") == WorkerGroup(addresses, 2)


@pytest.mark.parametrize("cluster", [{"worker": ["b:1", "c:1"]}, {"worker": ["b:1", "c:1"], "chief": ["a:1"]}])
def test_the_worker_order_and_the_chief_match_tensorflow(monkeypatch: pytest.MonkeyPatch, cluster: Any) -> None:
    tasks = [(kind, number) for kind in cluster for number in range(len(cluster[kind]))]
    groups = [read(monkeypatch, cluster, *task) for task in tasks]
    assert [group.index for group in groups] == [multi_worker_util.id_in_cluster(cluster, *task) for task in tasks]
    assert [group.is_chief for group in groups] == [multi_worker_util.is_chief(cluster, *task) for task in tasks]


@pytest.mark.parametrize("text", ["", "  ", "{}"])
def test_an_empty_tf_config_describes_a_single_worker(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    group = tf_config.read()
    assert (group, group.size, group.is_chief) == (WorkerGroup((), 0), 1, True)


@pytest.mark.parametrize("kind", ["evaluator", "ps", "Worker", "gpu"])
@pytest.mark.parametrize("in_cluster", [[], ["b:2222"]])
def test_a_replica_type_that_does_not_train_is_refused(
    monkeypatch: pytest.MonkeyPatch, kind: object, in_cluster: list[str]
) -> None:
    with pytest.raises(outcome.StepError) as refused:
        read(monkeypatch, {"worker": ["a:2222"], kind: in_cluster}, kind)
    assert (refused.value.exit_status, str(refused.value)) == (
        2,
        f"TF_CONFIG names a replica of type {kind!r}; expected Workers and at most one Chief; remove it from the TFJob",
    )


@pytest.mark.parametrize("kind", ["worker", "chief"])
def test_every_worker_refuses_a_cluster_with_parameter_servers(monkeypatch: pytest.MonkeyPatch, kind: object) -> None:
    with pytest.raises(outcome.StepError, match="a replica of type 'ps'; expected Workers"):
        read(monkeypatch, {kind: ["a:2222"], "ps": ["b:2222"]}, kind)


def test_the_error_for_a_replica_of_type_master_suggests_chief(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(outcome.StepError, match=r"a replica of type 'master'; .*; call it Chief in the TFJob"):
        read(monkeypatch, {"master": ["a:2222"]}, "master")


@pytest.mark.parametrize(
    ("cluster", "kind", "index", "reason"),
    [
        ({"worker": ["a:1"]}, "chief", 0, "'chief' is missing"),
        ({"worker": ["a:1"], "chief": []}, "worker", 0, "there is no chief in the cluster"),
        ({"worker": []}, "worker", 0, "there is no worker in the cluster"),
        ({"worker": ["a:1"]}, "worker", 1, "there is no worker 1 in the cluster"),
        ({"worker": ["a:1"], "chief": ["b:1"]}, "chief", -1, "there is no chief -1 in the cluster"),
        ({"worker": ["a:1"], "chief": ["b:1", "c:1"]}, "worker", 0, "there are 2 chiefs; TensorFlow accepts one"),
        ({"worker": ["a:1"]}, "worker", True, "'index' is true, not an integer"),
        ({"worker": ["a:1"]}, "worker", "0", "'index' is \"0\", not an integer"),
        ({"worker": ["a:1"]}, "worker", 0.0, "'index' is 0.0, not an integer"),
        ({"worker": ["a:1"]}, "worker", None, "'index' is null, not an integer"),
        ({"worker": ["a:1"]}, ["worker"], 0, "'type' is [\"worker\"], not a string"),
        ({"worker": "a:1"}, "worker", 0, "'worker' is \"a:1\", not a list"),
        ({"worker": {"0": "a:1"}}, "worker", 0, '\'worker\' is {"0": "a:1"}, not a list'),
        (["a:1"], "worker", 0, "'cluster' is [\"a:1\"], not an object"),
        ({"worker": ["a:1", "b:1", "A:1"]}, "worker", 0, "two replicas have the same address"),
        ({"worker": ["[::1]:1", "[0::1]:1"]}, "worker", 0, "two replicas have the same address"),
        ({"worker": ["::1:2222"]}, "worker", 0, "'::1:2222' is not host:port; put an IPv6 address in brackets"),
        ({"worker": ["[a]:2222"]}, "worker", 0, "'[a]:2222' has no IPv6 address in its brackets"),
        ({"worker": ["http://a:1"]}, "worker", 0, "'http://a:1' is not host:port"),
        ({"worker": ["a..b:1"]}, "worker", 0, "'a..b:1' is not host:port"),
        ({"worker": [f"{64 * 'a'}:1"]}, "worker", 0, f"'{64 * 'a'}:1' is not host:port"),
    ],
)
def test_an_invalid_cluster_is_refused_in_one_line_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, cluster: Any, kind: object, index: object, reason: str
) -> None:
    with pytest.raises(outcome.StepError) as refused:
        read(monkeypatch, cluster, kind, index)
    assert refused.value.exit_status == 2
    assert str(refused.value).startswith(f"TF_CONFIG is not the JSON that a TFJob sets ({reason}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "[]",
        "0",
        '"worker"',
        '{"task": {}}',
        '{"cluster": {"worker": ["a:1"]}}',
        "[" * 100_000,
        "{'cluster': 1}",
    ],
)
def test_a_tf_config_that_no_tfjob_sets_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(
        outcome.StepError, match=r"^TF_CONFIG is not the JSON that a TFJob sets \(.*\); expected"
    ) as refused:
        tf_config.read()
    assert refused.value.exit_status == 2


def set_job(monkeypatch: pytest.MonkeyPatch, index: str, name: str | None, completions: str | None) -> None:
    """Set the variables of an Indexed Job's worker; None leaves one out."""
    monkeypatch.delenv("TF_CONFIG", raising=False)
    variables = {"JOB_COMPLETION_INDEX": index, "JOB_NAME": name, "JOB_COMPLETIONS": completions}
    for variable, value in variables.items():
        if value is None:
            monkeypatch.delenv(variable, raising=False)
        else:
            monkeypatch.setenv(variable, value)


def test_an_indexed_job_describes_the_group_by_its_name_and_size(monkeypatch: pytest.MonkeyPatch) -> None:
    set_job(monkeypatch, "2", "clothes", "3")
    addresses = ("clothes-0.clothes:2222", "clothes-1.clothes:2222", "clothes-2.clothes:2222")
    assert tf_config.read() == WorkerGroup(addresses, 2)


def test_an_indexed_job_of_one_is_a_single_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    set_job(monkeypatch, "0", "clothes", "1")
    assert tf_config.read() == WorkerGroup()


def test_tf_config_takes_precedence_over_an_indexed_job(monkeypatch: pytest.MonkeyPatch) -> None:
    set_job(monkeypatch, "2", "clothes", "3")
    assert read(monkeypatch, {"worker": ["a:1", "b:1"]}) == WorkerGroup(("a:1", "b:1"), 0)
    monkeypatch.setenv("TF_CONFIG", "{}")
    assert tf_config.read() == WorkerGroup()


@pytest.mark.parametrize(
    ("index", "name", "completions", "reason"),
    [
        ("0", "clothes", None, "JOB_COMPLETIONS is '', expected an integer from 1"),
        ("0", "clothes", "0", "JOB_COMPLETIONS is '0', expected an integer from 1"),
        ("0", "clothes", "two", "JOB_COMPLETIONS is 'two', expected an integer from 1"),
        ("0", "clothes", "9" * 5000, f"JOB_COMPLETIONS is '{60 * '9'}', expected an integer from 1"),
        ("-1", "clothes", "2", "JOB_COMPLETION_INDEX is '-1', expected an integer from 0"),
        ("", "clothes", "2", "JOB_COMPLETION_INDEX is '', expected an integer from 0"),
        ("2", "clothes", "2", "JOB_COMPLETION_INDEX is '2', expected less than JOB_COMPLETIONS, which is 2"),
        ("1", "clothes", "1", "JOB_COMPLETION_INDEX is '1', expected less than JOB_COMPLETIONS, which is 1"),
        ("0", None, "2", "JOB_NAME is '', expected the Job's name"),
        ("0", "a.b", "2", "JOB_NAME is 'a.b', expected the Job's name"),
    ],
)
def test_a_wrong_variable_of_an_indexed_job_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, index: str, name: str | None, completions: str | None, reason: str
) -> None:
    set_job(monkeypatch, index, name, completions)
    with pytest.raises(outcome.StepError) as refused:
        tf_config.read()
    remedy = "set the variables of an Indexed Job as multi-worker-job.yaml does, or unset JOB_COMPLETION_INDEX"
    assert (refused.value.exit_status, str(refused.value)) == (2, f"{reason}; {remedy} to train alone")


def test_tensorflow_reads_the_group_that_was_read(monkeypatch: pytest.MonkeyPatch) -> None:
    set_job(monkeypatch, "1", "clothes", "2")
    monkeypatch.setenv("TF_CONFIG", tf_config.read().tf_config())
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    assert resolver.cluster_spec().as_dict() == {"worker": ["clothes-0.clothes:2222", "clothes-1.clothes:2222"]}
    assert (resolver.task_type, resolver.task_id) == ("worker", 1)


def test_an_evaluator_exits_with_2_and_one_line(volume: Volume) -> None:
    config = {"cluster": {"worker": ["127.0.0.1:24011"]}, "task": {"type": "evaluator", "index": 0}}
    ended = run_script(
        "multi_worker_distributed_training.py", "--volume", volume, "--model", "plain", TF_CONFIG=json.dumps(config)
    )
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    assert "TF_CONFIG names a replica of type 'evaluator'" in ended.stderr
