"""The check for drift, with replicas on loopback and an API server that lists them."""

import socket
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest
from urllib3.exceptions import HTTPError

from distml.publishing.drift import features, service_drift
from distml.step import outcome
from support.data_sources import closed_port
from support.replicas import Api, one_slice, window

ALIKE, SHIFTED = [2500, 2500], [560, 440]


def test_windows_that_are_calm_one_by_one_have_drifted_together(start: Callable, api: Api) -> None:
    api.lists = [[one_slice(start(window(SHIFTED))) for _ in range(3)]]
    found = service_drift.look("flowers", "here")
    assert not window(SHIFTED)["drifted"]
    assert (found.version, found.digest, found.replicas, found.blocks) == (2, "abc", 3, 30)
    assert (found.window.to_json()["class"][:2], found.drifted) == ([3 * count for count in SHIFTED], True)
    assert found.text.startswith("the last 3,000 images have drifted from the validation images of version 2: ")
    assert {("discovery.k8s.io", "v1", "here", "endpointslices", "kubernetes.io/service-name=flowers-predictor")} == (
        api.asked
    )


def test_a_drift_of_one_replica_counts_although_the_sum_is_calm(start: Callable) -> None:
    counts = [[700, 300], [450, 550], [350, 650]]
    urls = [f"http://{start(window(each)).address}" for each in counts]
    found = service_drift.look_at(urls, "flowers")
    assert (found.drifted, found.replicas, found.window.to_json()["class"][:2]) == (True, 3, [1500, 1500])
    assert found.text.startswith(
        f"taken alone, the images of {urls[0]}, {urls[2]} have drifted; all 3 replicas: no drift from the validation"
        " images of version 2 in the last 3,000 images: intensity 0.00 (p 1)"
    )


def test_each_replica_is_one_of_several_tests(start: Callable) -> None:
    counts = [575, 425]
    urls = [f"http://{start(window(each)).address}" for each in (counts, counts[::-1])]
    assert service_drift.look_at(urls[:1], "flowers").drifted
    assert not service_drift.look_at(urls, "flowers").drifted


@pytest.mark.parametrize(("others", "version"), [(1, 3), (2, 3), (0, 2)])
def test_the_version_that_most_replicas_serve_is_looked_at(
    start: Callable, api: Api, others: int, version: int
) -> None:
    newer = [start(window(ALIKE, version=3, digest="def")) for _ in range(others)]
    api.lists = [[one_slice(replica) for replica in [start(window(ALIKE)), *newer]]]
    found = service_drift.look("flowers", "here")
    assert (found.version, found.replicas) == (version, max(others, 1))


@pytest.mark.parametrize("place", [0, 1])
def test_a_version_without_a_reference_is_named(start: Callable, place: int) -> None:
    answers = [window(ALIKE)]
    answers.insert(place, {**window(ALIKE), "reference": None})
    urls = [f"http://{start(answer).address}" for answer in answers]
    with pytest.raises(service_drift.NoReference) as failed:
        service_drift.look_at(urls, "flowers")
    assert str(failed.value) == (
        "version 2 has no drift_reference with this release's bins in its manifest; publish again"
    )
    assert failed.value.exit_status == 2


@pytest.mark.parametrize("status", [400, 404])
def test_a_replica_that_does_not_count_its_images_is_named(start: Callable, status: int) -> None:
    url = f"http://{start(status).address}"
    with pytest.raises(service_drift.NotCounted) as failed:
        service_drift.look_at([url], "flowers")
    assert str(failed.value) == (
        f"{url} does not count the images of flowers: status {status}: {status}; update its image, or train without"
        " this check: set the parameter train to always"
    )
    assert failed.value.exit_status == 2


def changed(name: str, **bins: list[int]) -> dict[str, Any]:
    """Return a replica's answer with other counts in its window or its reference."""
    answer = window(ALIKE)
    return {**answer, name: {**answer[name], **bins}}


EMPTY = features.nothing(classes=10).to_json()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        {},
        "/elsewhere",
        503,
        {**window(ALIKE), "digest": ["abc"]},
        {**window(ALIKE), "window": {"class": [1]}},
        {**window(ALIKE), "window": EMPTY},
        {**window(ALIKE), "reference": EMPTY},
        changed("window", confidence=[5000] + [0] * 12),
        changed("reference", **{"class": [5000] + [0] * 2}),
        changed("window", confidence=[5001] + [0] * 9),
        changed("window", confidence=[5001, -1] + [0] * 8),
        changed("window", confidence=[10**30] + [0] * 9),
    ],
)
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


def test_a_service_that_does_not_exist_is_named(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Mock(side_effect=socket.gaierror(socket.EAI_NONAME, "no name")))
    api.lists = [[]]
    with pytest.raises(outcome.StepError) as failed:
        service_drift.look("flowers", "here")
    assert str(failed.value) == (
        "the images of flowers are not known: the cluster has no Service flowers-predictor in the namespace here; check"
        " both names, or that KServe's controller runs"
    )
    assert failed.value.exit_status == 2


def test_an_address_without_a_server_is_asked_about() -> None:
    with pytest.raises(service_drift.Unanswered, match=r"Connection refused>; is a server running there\?$"):
        service_drift.look_at([f"http://127.0.0.1:{closed_port()}"], "flowers")
