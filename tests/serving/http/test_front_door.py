"""The front door and the predictor behind it, in this process and with a fake engine."""

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine, MutableMapping
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from grpc_interceptor.exceptions import NotFound, Unavailable
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest

from distml.protocol import limits, v1
from distml.protocol.contract import Stage
from distml.publishing.drift import image_intensity
from distml.serving.admission import Admission
from distml.serving.grpc.front_door import infer
from distml.serving.http.front_door import FrontDoor
from distml.serving.kserve_server import ModelReadinessDataPlane, PredictorServer
from distml.serving.monitoring import metrics
from distml.serving.predictor import Predictor
from distml.serving.release.releases import Releases
from distml.serving.release.served_version import ServedVersion
from support.predictor_process import INFER, PREDICT

BODY = json.dumps({"inputs": [{"name": "images", "datatype": "UINT8", "shape": [1, 28, 28], "data": [0] * 784}]})
OVERLOADED = "too many requests are waiting; retry in a second"


class Engine:
    def __call__(self, images: np.ndarray) -> np.ndarray:
        return np.eye(10, dtype=np.float32)[: len(images)]


def version(number: int, engine: Callable | None = None) -> ServedVersion:
    edges = image_intensity.EDGES.tolist()
    intensity = {"edges": edges, "counts": [0] * (len(edges) + 1), "sum": 0}
    names = [str(index) for index in range(10)]
    manifest = {"class_names": names, "model": "plain", "digest": "abc", "training_intensity": intensity}
    return ServedVersion(number, manifest, engine or Engine())


class FakePredictor(Predictor):
    """A predictor that answers with the length of the body, or raises `error`."""

    def __init__(self, error: Exception | None = None, **admission_limits: int) -> None:
        super().__init__(version(1), "flower-sample", Releases())
        self.admission = Admission(**admission_limits)
        self.error = error

    async def answer_v1(self, body: bytes | bytearray, wanted: str | None = None) -> bytes:
        if self.error:
            raise self.error
        return b"%d" % len(body)


def ask(predictor: Any, path: str, *parts: bytes | None, complete: bool = True, method: str = "POST") -> tuple:
    """Send a body in `parts` (None: hang up); return status, answer, and True if the server closes the connection."""
    return asyncio.run(_ask(predictor, path, parts, complete, method))


async def _ask(predictor: Any, path: str, parts: tuple, complete: bool, method: str = "POST") -> tuple:
    sent = []
    numbered_parts = iter(enumerate(parts, 1))

    async def receive() -> dict:
        number, part = next(numbered_parts, (0, b""))
        if not number:
            await asyncio.get_running_loop().create_future()
        if part is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": part, "more_body": number < len(parts) or not complete}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def inner(scope: dict, receive: object, send: object) -> None:
        raise AssertionError(f"{scope['method']} {scope['path']} reached KServe")

    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
    await FrontDoor(inner, predictor)(scope, receive, send)
    if not sent:
        return ()
    start, body = sent
    headers = dict(start["headers"])
    assert (headers.get(b"retry-after") == b"1") == (start["status"] == 503)
    return start["status"], json.loads(body["body"]), headers.get(b"connection") == b"close"


def counted(protocol: str, outcome: str) -> float:
    return metrics.REQUESTS.labels(protocol, outcome)._value.get()


@pytest.mark.parametrize(
    "path", [PREDICT, INFER, "/v1/models/flower-sample:explain", "/v2/repository/models/flower-sample/unload"]
)
def test_a_path_with_a_line_feed_at_its_end_gets_404(path: str) -> None:
    sentence = f"POST {path}? is not offered; /openapi.json has the routes"
    assert ask(FakePredictor(), f"{path}\n", b"{}") == (404, {"error": sentence}, False)


@pytest.mark.parametrize("path", ["/v1/models/flower-sample:explain", "/v2/repository/models/a/load"])
def test_a_post_to_any_other_kserve_route_gets_404(path: str) -> None:
    sentence = f"POST {path} is not offered; /openapi.json has the routes"
    assert ask(FakePredictor(), path, b"{}") == (404, {"error": sentence}, False)


def test_an_unexpected_error_gets_500_without_its_text() -> None:
    message = "the server failed to answer; its log has the reason"
    assert ask(FakePredictor(KeyError("/a/secret")), PREDICT, b"{}") == (500, {"error": message}, False)


def test_an_unfinished_body_gets_408_and_a_closed_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SECONDS_FOR_BODY", 0.05)
    message = "the body did not arrive within 0.05 seconds"
    assert ask(FakePredictor(), PREDICT, b"{", complete=False) == (408, {"error": message}, True)


def test_a_refused_body_is_read_to_its_end_or_its_connection_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SECONDS_FOR_BODY", 0.05)
    monkeypatch.setattr(limits, "MAX_BYTES_OF_BODY", 3)
    too_long = {"error": "the body is longer than 3 bytes"}
    assert ask(FakePredictor(), PREDICT, b"12", b"34", b"56") == (413, too_long, False)
    assert ask(FakePredictor(), PREDICT, b"12", b"34", b"56", complete=False) == (413, too_long, True)
    unknown = {"error": "unknown model; this server serves flower-sample"}
    assert ask(FakePredictor(), "/v1/models/another:predict", b"12", b"34") == (404, unknown, False)
    assert ask(FakePredictor(), "/v1/models/another:predict", b"12", complete=False) == (404, unknown, True)


def test_a_client_that_hangs_up_gets_no_answer_and_is_counted() -> None:
    before = counted("v1", "hung up")
    assert ask(FakePredictor(), PREDICT, b"{", None) == ()
    assert counted("v1", "hung up") == before + 1


def test_body_bytes_are_counted_on_arrival_and_freed_on_refusal() -> None:
    predictor = FakePredictor(max_bytes=10)
    assert ask(predictor, PREDICT, b"123456", b"123456", b"123456") == (503, {"error": OVERLOADED}, False)
    assert ask(predictor, PREDICT, b"12345", b"67890") == (200, 10, False)


def answer_after_switch(send_request: Callable[[Predictor], Coroutine]) -> object:
    """Return the answer to a request if version 2 takes over from version 1 before its batch runs."""

    async def switch() -> object:
        predictor = Predictor(version(1), "flower-sample", Releases())
        asked = asyncio.create_task(send_request(predictor))
        while not predictor.batcher._waiting:
            await asyncio.sleep(0)
        predictor.switch_to(version(2))
        return await asked

    return asyncio.run(switch())


def test_a_request_for_a_version_is_never_answered_by_another() -> None:
    path = "/v2/models/flower-sample/versions/1/infer"
    answer = answer_after_switch(lambda predictor: _ask(predictor, path, (BODY.encode(),), True))
    assert answer == (404, {"error": "version 1 is not served; version 2 is"}, False)
    before = counted("grpc", "not found")
    with pytest.raises(NotFound):
        answer_after_switch(lambda predictor: infer(predictor, grpc_request("1")))
    assert counted("grpc", "not found") == before + 1


def test_drift_is_of_the_images_of_the_version_that_answers() -> None:
    predictor = Predictor(version(1), "flower-sample", Releases())

    def drift_after_100_images() -> tuple[str, int]:
        metrics.IMAGES.observe(predictor.version, np.zeros((100, 28, 28, 1), np.uint8), np.eye(100, 10))
        answer = ask(predictor, "/v1/models/flower-sample/drift", method="GET")[1]
        return answer["version"], answer["blocks"]

    assert [drift_after_100_images() for _ in range(2)] == [("1", 1), ("1", 2)]
    predictor.switch_to(version(2))
    assert drift_after_100_images() == ("2", 1)


def test_a_version_that_is_taken_back_asks_for_a_retry() -> None:
    async def ask_for_both() -> list:
        predictor = Predictor(version(2, Mock(side_effect=RuntimeError("broken"))), "flower-sample", Releases())
        predictor.batcher.fallback = version(1)
        paths = ["/v2/models/flower-sample/versions/2/infer", "/v2/models/flower-sample/infer"]
        answers = [await _ask(predictor, path, (BODY.encode(),), True) for path in paths]
        with pytest.raises(Unavailable, match="version 2 was taken back"):
            await infer(predictor, grpc_request("2"))
        return answers

    before = counted("v2", "taken back"), counted("grpc", "taken back")
    named, unnamed = asyncio.run(ask_for_both())
    sentence = "version 2 was taken back, and version 1 answers; retry in a second"
    assert (named, unnamed[0]) == ((503, {"error": sentence}, False), 200)
    assert (counted("v2", "taken back"), counted("grpc", "taken back")) == (before[0] + 1, before[1] + 1)


def test_a_version_answers_even_if_the_metrics_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor(version(1), "flower-sample", Releases())
    monkeypatch.setattr(metrics, "show_model", Mock(side_effect=OSError("no space left")))
    with pytest.raises(OSError, match="no space left"):
        predictor.switch_to(version(2))
    assert predictor.version.number == 2


def grpc_request(version: str = "") -> ModelInferRequest:
    request = ModelInferRequest(model_name="flower-sample", model_version=version, raw_input_contents=[bytes(784)])
    request.inputs.add(name="images", datatype="UINT8", shape=[1, 28, 28])
    return request


def test_a_cancelled_grpc_request_is_counted_as_hung_up() -> None:
    async def cancel() -> None:
        asked = asyncio.create_task(infer(Predictor(version(1), "flower-sample", Releases()), grpc_request()))
        await asyncio.sleep(0)
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)

    before = counted("grpc", "hung up"), counted("grpc", "failed")
    asyncio.run(cancel())
    assert (counted("grpc", "hung up"), counted("grpc", "failed")) == (before[0] + 1, before[1])


def test_the_ninth_concurrent_large_request_gets_503(monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()

    def read(body: bytes, budget: object) -> v1.V1Request:
        assert go.wait(10)
        return v1.V1Request(np.zeros((1, 28, 28, 1), np.uint8), columnar=False)

    async def nine() -> list:
        predictor = Predictor(version(1), "flower-sample", Releases())
        asked = [asyncio.create_task(_ask(predictor, PREDICT, (b"[" * 2**17,), True)) for _ in range(9)]
        await asked[8]
        go.set()
        return [status for status, *_ in await asyncio.gather(*asked)]

    monkeypatch.setattr(v1, "read_request", read)
    assert asyncio.run(nine()) == [200] * 8 + [503]


def test_the_server_metadata_offers_no_loading_of_models() -> None:
    assert ModelReadinessDataPlane(model_registry=None).metadata()["extensions"] == ["binary_tensor_data"]


def test_idle_connections_outlive_those_of_common_proxies() -> None:
    nginx_and_aws, traefik, google_cloud = 60, 90, 600
    server = PredictorServer(FakePredictor(), "", 1, 2, FrontDoor)
    assert max(nginx_and_aws, traefik, google_cloud) < server.timeout_keep_alive == limits.SECONDS_OF_KEEP_ALIVE


def test_a_rejected_version_has_a_status_but_answers_nothing() -> None:
    predictor = FakePredictor()
    predictor.releases.enter(2, "def", Stage.REJECTED, "too slow")
    status = {"error_code": "FAILED_PRECONDITION", "error_message": "too slow"}
    rejected = {"version": "2", "state": "END", "status": status}
    available = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    release = {"version": "2", "digest": "def", "stage": "rejected", "reason": "too slow"}
    whole = {"model_version_status": [available, rejected], "releases": [release]}
    path = "/v1/models/flower-sample"
    assert ask(predictor, f"{path}/versions/2", b"", method="GET")[:2] == (200, {"model_version_status": [rejected]})
    assert ask(predictor, path, b"", method="GET")[:2] == (200, {"name": "flower-sample", "ready": True, **whole})
    unknown = {"error": "version 2 is not served; version 1 is"}
    assert ask(predictor, f"{path}/versions/2/metadata", b"", method="GET")[:2] == (404, unknown)
    assert ask(predictor, f"{path}/versions/3", b"", method="GET")[0] == 404
    assert ask(predictor, f"{path}/labels/stable", b"", method="GET")[1] == {"model_version_status": [available]}
