"""Replicas of a predictor on loopback, and an API server that lists them, for tests."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from distml.publishing.drift import features, look
from distml.publishing.drift.features import Counts

GRPC = {"name": "grpc", "port": 8081}


class Replica(ThreadingHTTPServer):
    """A replica of a predictor: each request for its status gets the next of `statuses`; the last one repeats.

    A status or prediction of type bytes is sent as it is; a status of type str is a redirect to that path, and one of
    type int is an error.
    """

    def __init__(self, *statuses: object, version: str = "2", prediction: object = None) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.statuses = list(statuses)
        uniform = {"predictions": [{"probabilities": [0.1] * 10}], "model_version": version}
        self.prediction = uniform if prediction is None else prediction
        self.predictions = 0
        self.address = f"127.0.0.1:{self.server_address[1]}"

    def status(self) -> object:
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]


def window(counts: list[int], version: int = 2, digest: str = "abc", blocks: int = 10) -> dict[str, Any]:
    """Return a replica's answer about its newest images, all of them in each feature's first two bins, by `counts`."""
    return look.look(version, digest, _in_two_bins([2500, 2500]), _in_two_bins(counts), blocks).to_json()


def _in_two_bins(counts: list[int]) -> Counts:
    bins = features.nothing(classes=10).bins
    return Counts({feature: np.array([*counts, *empty[2:]]) for feature, empty in bins.items()})


class Answer(BaseHTTPRequestHandler):
    server: Replica

    def do_GET(self) -> None:
        self.reply(self.server.status())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.predictions += 1
        self.reply(self.server.prediction)

    def reply(self, document: object) -> None:
        self.send_response(document if isinstance(document, int) else 302 if isinstance(document, str) else 200)
        if isinstance(document, str):
            self.send_header("Location", document)
        self.end_headers()
        self.wfile.write(document if isinstance(document, bytes) else json.dumps(document).encode())

    def log_message(self, *_: object) -> None:
        """Print nothing."""


class Api:
    """An API server's EndpointSlices in place of the Kubernetes client: each list is the next; the last one repeats."""

    def __init__(self) -> None:
        self.lists: list[Any] = [[]]
        self.asked: set[tuple[str, ...]] = set()

    def list_namespaced_custom_object(self, *names: str, label_selector: str, _request_timeout: int) -> dict[str, Any]:
        self.asked.add((*names, label_selector))
        found = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        if isinstance(found, Exception):
            raise found
        return {"items": found}


def one_slice(replica: Replica, **conditions: bool) -> dict[str, Any]:
    """Return an EndpointSlice with one replica; here, each replica has a port of its own."""
    ports = [GRPC, {"name": "http1", "port": replica.server_address[1]}]
    return {"endpoints": [{"addresses": ["127.0.0.1"], "conditions": conditions}], "ports": ports}
