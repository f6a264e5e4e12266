"""The check for drift, with replicas on loopback and an API server that lists them."""

from collections.abc import Callable
from typing import Any

import pytest
from urllib3.exceptions import HTTPError

from distml.publishing.drift import service_drift
from support.replicas import Api, one_slice, window

ALIKE, SHIFTED = [2500, 2500], [560, 440]


def test_windows_that_are_calm_one_by_one_have_drifted_together(start: Callable, api: Api) -> None:
    api.lists = [[one_slice(start(window(SHIFTED))) for _ in range(3)]]
    found = service_drift.look("flowers", "here")
    assert not window(SHIFTED)["drifted"]
    assert (found.version, found.digest, found.replicas, found.blocks) == (2, "abc", 3, 30)
    assert (found.window.to_json()["class"], found.drifted) == ([3 * count for count in SHIFTED], True)
    assert {("discovery.k8s.io", "v1", "here", "endpointslices", "kubernetes.io/service-name=flowers-predictor")} == (
        api.asked
    )


@pytest.mark.parametrize(("others", "version"), [(1, 3), (2, 3), (0, 2)])
def test_the_version_that_most_replicas_serve_is_looked_at(
    start: Callable, api: Api, others: int, version: int
) -> None:
    newer = [start(window(ALIKE, version=3, digest="def")) for _ in range(others)]
    api.lists = [[one_slice(replica) for replica in [start(window(ALIKE)), *newer]]]
    found = service_drift.look("flowers", "here")
    assert (found.version, found.replicas) == (version, max(others, 1))


def test_a_version_without_a_reference_is_named(start: Callable) -> None:
    replica = start({**window(ALIKE), "reference": None})
    with pytest.raises(service_drift.NoReference) as failed:
        service_drift.look_at([f"http://{replica.address}"], "flowers")
    assert str(failed.value) == (
        "version 2 has no drift_reference in its manifest to compare images with; publish again"
    )
    assert failed.value.exit_status == 2


@pytest.mark.parametrize("answer", [b"", b"[]", {}, {**window(ALIKE), "window": {"class": [1]}}, "/elsewhere"])
def test_a_replica_that_does_not_answer_is_named(start: Callable, api: Api, answer: object) -> None:
    replica = start(answer)
    api.lists = [[one_slice(start(window(SHIFTED))), one_slice(replica)]]
    with pytest.raises(
        service_drift.Unanswered, match=f"http://{replica.address} does not report its images: "
    ) as failed:
        service_drift.look("flowers", "here")
    assert failed.value.exit_status == 1 and "--" not in str(failed.value)


@pytest.mark.parametrize(
    ("slices", "message"),
    [
        (
            [{"endpoints": None, "ports": None}],
            "no replica of flowers is ready; run kubectl describe inferenceservice ",
        ),
        (HTTPError("no route"), "the images of flowers are not known: the API server does not answer: no route"),
    ],
)
def test_without_a_ready_replica_nothing_is_known(api: Api, slices: Any, message: str) -> None:
    api.lists = [slices]
    with pytest.raises(service_drift.Unanswered, match=message):
        service_drift.look("flowers", "here")
