"""The ready replicas of a predictor, found by the EndpointSlices of its Service."""

import http
import socket
import urllib.parse
from typing import Any

from kubernetes import client
from urllib3.exceptions import HTTPError

from distml.publishing.service import kubernetes_api, smoke_test
from distml.step import network, outcome

GROUP, VERSION, PLURAL = "discovery.k8s.io", "v1", "endpointslices"
SERVICE_LABEL = "kubernetes.io/service-name"
# A Service within the cluster.
URL = "http://{service}.{namespace}.svc"
SECONDS_TO_ANSWER = 10


class Unlisted(Exception):
    """The API server did not answer with a usable list; a later request may succeed."""


class Replicas:
    """The replicas behind one Service; their number may change at any time."""

    def __init__(self, service: str, namespace: str):
        kubernetes_api.configure()
        # The client's own type refuses a slice without endpoints, so slices are read as custom objects.
        self._api: Any = client.CustomObjectsApi()
        self._service = service
        self._namespace = namespace
        self._url = URL.format(service=service, namespace=namespace)

    def ready(self) -> tuple[list[str], int]:
        """Return the URL of each ready replica, at its pod's address, and how often in a row all must be asked: once.

        A Service without a selector, such as Knative's, has no EndpointSlice. Then return the URL of the Service, which
        must be asked more often, since each request may reach another replica.

        Raises:
            StepError: this account may not list EndpointSlices.
            Unlisted: the API server does not answer, or a replica has no port for HTTP.
        """
        slices = self._slices()
        if not slices:
            return [self._url], smoke_test.ANSWERS_IN_A_ROW
        return sorted({url for one in slices for url in _ready_urls(one)}), 1

    def service_exists(self) -> bool:
        """Return False only if the Service has no EndpointSlice and its name does not resolve."""
        try:
            if self._slices():
                return True
            socket.getaddrinfo(urllib.parse.urlsplit(self._url).hostname, None)
        except Unlisted:
            return True
        except socket.gaierror as error:
            return error.errno != socket.EAI_NONAME  # another error may pass
        return True

    def _slices(self) -> list[dict[str, Any]]:
        label = f"{SERVICE_LABEL}={self._service}"
        try:
            found: Any = self._api.list_namespaced_custom_object(
                GROUP, VERSION, self._namespace, PLURAL, label_selector=label, _request_timeout=SECONDS_TO_ANSWER
            )
        except client.ApiException as error:
            if error.status == http.HTTPStatus.FORBIDDEN:
                raise outcome.StepError(
                    f"this account may not list the EndpointSlices of the namespace {self._namespace}, which name the"
                    " replicas; install manifests/pipeline again, whose role pipeline-replicas allows it"
                ) from None
            raise Unlisted(f"the API server does not list EndpointSlices: {error.status} {error.reason}") from None
        except HTTPError as error:
            raise Unlisted(f"the API server does not answer: {error}") from None
        return found["items"]


def _ready_urls(one: dict[str, Any]) -> list[str]:
    """Return the URLs of a slice's ready endpoints; a condition that is absent counts as true."""
    # A Service without any pod may have a slice without endpoints and ports.
    ready = [each for each in one.get("endpoints") or [] if each.get("conditions", {}).get("ready", True)]
    return [f"http://{network.format_address(each['addresses'][0], _http_port(one))}" for each in ready]


def _http_port(one: dict[str, Any]) -> int:
    """Return the first port of a slice that KServe does not name as one for gRPC."""
    for entry in one.get("ports") or []:
        if entry.get("port") and "grpc" not in (entry.get("name") or ""):
            return entry["port"]
    raise Unlisted("a replica has no port for HTTP; see the ports of inference-service.yaml")
