"""Predictors behind a stand-in for a Kubernetes Service, and the clients that ask them in every protocol."""

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import grpc
import numpy as np
from kserve import InferInput, InferRequest, InferResponse
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from distml.protocol.contract import MODEL_NAME
from support.load import body_of
from support.predictor_process import INFER, PREDICT, READY, Predictor
from support.predictor_requests import v2_input

# Messages of a 503, or of gRPC's UNAVAILABLE, that ask the client to try again.
ANNOUNCED = ("retry in a second", "is not ready")
SECONDS_TO_ANSWER = 30
# Between two requests of a client: the load leaves time for the predictors, which start on the same cores.
PAUSE = 0.005


class Reply(NamedTuple):
    """An answer with status 200, and the time and image of the request."""

    started: float
    image: int
    version: int
    class_name: str
    probabilities: np.ndarray


# The version, the name of the class and the probabilities in an answer.
Answer = tuple[str, str, Any]


class Refused(Exception):
    """An answer with another status; the message is the answer's."""

    def __init__(self, status: int, message: str):
        super().__init__(f"{status}: {message}")
        self.is_announced = status == 503 and any(text in message for text in ANNOUNCED)


class V1:
    """A client that asks with V1, on a new connection for each request."""

    def __init__(self, images: np.ndarray):
        self._bodies = [body_of(image) for image in images]

    def ask(self, predictor: Predictor, image: int) -> Answer:
        """Return the answer for an image."""
        status, answer = predictor.post(PREDICT, self._bodies[image])
        if status != 200:
            raise Refused(status, str(answer))
        (prediction,) = answer["predictions"]
        return answer["model_version"], prediction["class_name"], prediction["probabilities"]

    def close(self) -> None:
        """Close nothing: no connection is kept."""


class V2Rest:
    """A client that asks with V2 over REST, and keeps its connections."""

    def __init__(self, images: np.ndarray):
        self._bodies = [json.dumps({"inputs": [v2_input(image[np.newaxis])]}) for image in images]
        self._connections: dict[Predictor, http.client.HTTPConnection] = {}

    def ask(self, predictor: Predictor, image: int) -> Answer:
        """Return the answer for an image."""
        if predictor not in self._connections:
            connection = http.client.HTTPConnection("127.0.0.1", predictor.http_port, timeout=SECONDS_TO_ANSWER)
            self._connections[predictor] = connection
        connection = self._connections[predictor]
        try:
            connection.request("POST", INFER, self._bodies[image], {"Content-Type": "application/json"})
            response = connection.getresponse()
            content = response.read()
        except BaseException:  # or the next request would fail too
            connection.close()
            raise
        if response.status != 200:
            raise Refused(response.status, content.decode())
        answer = json.loads(content)
        outputs = {output["name"]: output["data"] for output in answer["outputs"]}
        return answer["model_version"], outputs["class_name"][0], outputs["probabilities"]

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()


class V2Grpc:
    """A client that asks with V2 over gRPC, and keeps its channels."""

    def __init__(self, images: np.ndarray):
        self._requests = []
        for image in images:
            pixels = InferInput("images", [1, *image.shape], "UINT8")
            pixels.set_data_from_numpy(image[np.newaxis])
            request = InferRequest(MODEL_NAME, [pixels]).to_grpc()
            self._requests.append(request)
        self._channels: dict[Predictor, grpc.Channel] = {}

    def ask(self, predictor: Predictor, image: int) -> Answer:
        """Return the answer for an image."""
        if predictor not in self._channels:
            self._channels[predictor] = grpc.insecure_channel(f"127.0.0.1:{predictor.grpc_port}")
        stub = GRPCInferenceServiceStub(self._channels[predictor])
        try:
            answer = stub.ModelInfer(self._requests[image], timeout=SECONDS_TO_ANSWER)
        except grpc.RpcError as error:
            status = 503 if error.code() is grpc.StatusCode.UNAVAILABLE else 500
            raise Refused(status, f"gRPC {error.code().name}: {error.details()}") from None
        outputs = {output.name: output.as_numpy() for output in InferResponse.from_grpc(answer).outputs}
        return answer.model_version, outputs["class_name"].item().decode(), outputs["probabilities"].ravel()

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()


class Service:
    """The predictors whose last readiness probe was answered with 200.

    A Kubernetes Service also takes out a pod as soon as it is deleted; this one learns it from the probe alone.
    """

    def __init__(self, probe_seconds: float):
        self._seconds = probe_seconds
        self._ready: dict[Predictor, bool] = {}

    def add(self, predictor: Predictor) -> None:
        """Probe a predictor from now on, until it has ended."""
        self._ready[predictor] = True
        threading.Thread(target=self._probe, args=[predictor], daemon=True).start()

    def _probe(self, predictor: Predictor) -> None:
        while predictor.process.poll() is None:
            try:
                self._ready[predictor] = predictor.get(READY)[0] == 200
            except OSError:
                self._ready[predictor] = False
            time.sleep(self._seconds)
        self._ready[predictor] = False

    def choose(self) -> Predictor | None:
        """Return one of the ready predictors by chance, or None."""
        ready = [predictor for predictor, is_ready in self._ready.copy().items() if is_ready]
        return random.choice(ready) if ready else None


class Clients:
    """Two clients of each protocol, which ask for one image after another until the block ends.

    Attributes:
        requests: number of requests, and of those refused with an announced 503.
        lost: a sentence about each request that had no answer or a wrong one.
    """

    def __init__(self, service: Service, images: np.ndarray, fault_of: Callable[[Reply], str]):
        """Prepare the clients; `fault_of` tells why a reply is wrong, "" if it is right."""
        self.requests: Counter[str] = Counter()
        self.lost: list[str] = []
        self._service = service
        self._images = images
        self._fault_of = fault_of
        self._counting = threading.Lock()
        self._stop = threading.Event()
        kinds: list[Any] = [V1, V2Rest, V2Grpc]
        self._threads = [threading.Thread(target=self._send, args=[kind(images)]) for kind in kinds * 2]

    def _send(self, client: V1 | V2Rest | V2Grpc) -> None:
        while not self._stop.wait(PAUSE):
            outcome, fault = "answered", ""
            try:
                fault = self._ask(client)
            except Refused as error:
                outcome, fault = ("announced", "") if error.is_announced else ("refused", str(error))
            except Exception as error:  # also an answer that cannot be read
                outcome, fault = "unanswered", f"{type(error).__name__}: {error}"
            with self._counting:
                self.requests[outcome] += 1
                if fault:
                    self.lost.append(f"{type(client).__name__}: {fault}")
        client.close()

    def _ask(self, client: V1 | V2Rest | V2Grpc) -> str:
        started, image = time.monotonic(), random.randrange(len(self._images))
        predictor = self._service.choose()
        if predictor is None:
            return "no predictor is ready"
        version, class_name, probabilities = client.ask(predictor, image)
        return self._fault_of(Reply(started, image, int(version), class_name, np.array(probabilities, np.float32)))

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
