"""The ready replicas of a Service, from EndpointSlices as an API server lists them."""

import socket
from unittest.mock import Mock, call

import pytest
from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from distml.publishing.service.replicas import Replicas, Unlisted
from distml.step import outcome
from support.replicas import GRPC, Api

PORTS = [GRPC, {"name": "http1", "port": 8080}]


def ready(api: Api, *slices: dict) -> tuple[list[str], int]:
    api.lists = [list(slices)]
    return Replicas("flowers-predictor", "here").ready()


def test_every_ready_endpoint_of_every_slice_is_a_replica(api: Api) -> None:
    endpoints = [
        {"addresses": ["10.0.0.2"], "conditions": {"ready": True}},
        {"addresses": ["10.0.0.3"], "conditions": {"ready": False, "serving": True, "terminating": True}},
        {"addresses": ["10.0.0.4"]},
    ]
    second = {"endpoints": [{"addresses": ["fd00::5"], "conditions": {}}], "ports": PORTS}
    urls = ["http://10.0.0.2:8080", "http://10.0.0.4:8080", "http://[fd00::5]:8080"]
    assert ready(api, {"endpoints": endpoints, "ports": PORTS}, second) == (urls, 1)
    assert api.asked == {
        ("discovery.k8s.io", "v1", "here", "endpointslices", "kubernetes.io/service-name=flowers-predictor")
    }


def test_a_service_without_pods_has_no_replica(api: Api) -> None:
    assert ready(api, {"endpoints": None, "ports": None}) == ([], 1)


def test_a_service_without_slices_is_asked_five_times_by_its_name(api: Api) -> None:
    assert ready(api) == (["http://flowers-predictor.here.svc"], 5)


@pytest.mark.parametrize(
    ("slices", "error", "exists"),
    [
        ([], socket.gaierror(socket.EAI_NONAME, "no name"), False),
        ([], socket.gaierror(socket.EAI_AGAIN, "no answer"), True),
        ([], None, True),
        ([{"endpoints": None, "ports": None}], socket.gaierror(socket.EAI_NONAME, "no name"), True),
        (HTTPError("no route"), None, True),
    ],
)
def test_only_a_service_without_slices_and_name_does_not_exist(
    slices: list | Exception, error: Exception | None, exists: bool, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Mock(side_effect=error)
    monkeypatch.setattr(socket, "getaddrinfo", asked)
    api.lists = [slices]
    assert Replicas("flowers-predictor", "here").service_exists() is exists
    assert asked.mock_calls in ([call("flowers-predictor.here.svc", None)], [])


def test_a_replica_without_a_port_for_http_is_named_as_the_fault(api: Api) -> None:
    for ports in ([GRPC], [{"name": "http1"}], [], None):
        with pytest.raises(Unlisted, match="a replica has no port for HTTP; see"):
            ready(api, {"endpoints": [{"addresses": ["10.0.0.2"]}], "ports": ports})


def test_an_account_without_the_right_is_told_to_install_the_role(api: Api) -> None:
    api.lists = [ApiException(403, "Forbidden")]
    with pytest.raises(outcome.StepError, match=r"may not list the EndpointSlices of the namespace here.*pipeline-rep"):
        Replicas("flowers-predictor", "here").ready()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ApiException(500, "Internal"), "the API server does not list EndpointSlices: 500 Internal"),
        (HTTPError("no route"), "the API server does not answer: no route"),
    ],
)
def test_another_failure_of_the_api_server_may_pass(api: Api, error: Exception, message: str) -> None:
    api.lists = [error]
    with pytest.raises(Unlisted) as failed:
        Replicas("flowers-predictor", "here").ready()
    assert str(failed.value) == message
