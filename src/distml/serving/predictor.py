"""The predictor: reads a request's images, classifies them in a batch and writes the answer, for each protocol."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest, ModelInferResponse

from distml.protocol import limits, v1, v2_grpc, v2_rest
from distml.protocol.contract import ModelSpec
from distml.protocol.images import PixelBudget, TooLargeForEventLoop
from distml.serving.admission import Admission, Overloaded
from distml.serving.batching import Batcher
from distml.serving.monitoring import event_log, metrics
from distml.serving.release.releases import Releases
from distml.serving.release.served_version import NotServed, ServedVersion, check_answered_by, check_version

# TensorFlow Serving's customary label for the version that answers.
LABEL = "stable"


class Predictor:
    """The predictor, which answers with one published version at a time; it is ready until `draining` is set.

    Callers enter `admission.admit()` before they ask for an answer.
    """

    def __init__(self, version: ServedVersion, model_name: str, releases: Releases):
        self.model_name = model_name
        self.releases = releases
        self.admission = Admission()
        self.batcher = Batcher(version)
        self._reader = ThreadPoolExecutor(1, "reader")
        self._large_requests = 0
        self._stages = metrics.Stages(model_name)
        # The newest images that the version classified.
        self.window = metrics.show_model(version)
        self.draining = asyncio.Event()

    @property
    def ready(self) -> bool:
        return not self.draining.is_set()

    @property
    def version(self) -> ServedVersion:
        return self.batcher.version

    @property
    def spec(self) -> ModelSpec:
        return self._spec_of(self.version)

    def _spec_of(self, version: ServedVersion) -> ModelSpec:
        return ModelSpec(self.model_name, version.number, version.class_names)

    def check_address(self, model: str, version: str | None = None, label: str | None = None) -> None:
        """Raise NotServed if a request's model, version or label is not served; None or "" leaves it open."""
        if model != self.model_name:
            raise NotServed(f"unknown model; this server serves {self.model_name}")
        if label and label != LABEL:
            raise NotServed(f"no version has this label; the label {LABEL} names version {self.version.number}")
        check_version(version, self.version)

    def switch_to(self, version: ServedVersion) -> None:
        """Answer with `version` from the next batch on."""
        self.batcher.version = version  # first, so that it holds whatever the metrics meet
        self.window = metrics.show_model(version)
        event_log.event("version taken up", version=version.number, digest=version.manifest["digest"])

    async def answer_v1(self, body: bytes | bytearray, wanted: str | None = None) -> bytes:
        """Answer the body of a V1 request.

        Raises:
            BadInput: the request is invalid; the message names what the client must change.
            Overloaded: the client should retry later.
            NotServed: a newer version than `wanted` has taken over while the request waited.
            TakenBack: an older one answers again: `wanted`, on probation, failed or was withdrawn.
        """
        return await self._answer(len(body), partial(v1.read_request, body), v1.answer, wanted)

    async def answer_v2(
        self, body: bytes | bytearray, json_length: int | None, wanted: str | None = None
    ) -> tuple[bytes, int | None]:
        """Answer the body of a V2 request; see `v2_rest.read_request` and `v2_rest.answer`.

        Raises:
            BadInput, Overloaded, NotServed, TakenBack: as for V1.
        """
        read = partial(v2_rest.read_request, body, json_length)
        return await self._answer(len(body), read, v2_rest.answer, wanted)

    async def answer_grpc(self, message: ModelInferRequest, length: int) -> ModelInferResponse:
        """Answer a gRPC request of about `length` bytes.

        Raises:
            BadInput, Overloaded, NotServed, TakenBack: as for V1.
        """
        read = partial(v2_grpc.read_request, message)
        return await self._answer(length, read, v2_grpc.answer, message.model_version)

    async def _answer(
        self,
        length: int,
        read: Callable[[PixelBudget], Any],
        write: Callable[[Any, np.ndarray, ModelSpec], Any],
        wanted: str | None,
    ) -> Any:
        """Read a request of about `length` bytes, classify its images, and write the answer; measure the three."""
        started = time.perf_counter()
        request = await self._read(length, read)
        classifying = time.perf_counter()
        probabilities, version = await self.batcher.classify(request.images)
        writing = time.perf_counter()
        check_answered_by(wanted, version)
        answer = write(request, probabilities, self._spec_of(version))
        self._stages.observe(classifying - started, writing - classifying, time.perf_counter() - writing)
        return answer

    async def _read(self, length: int, read: Callable[[PixelBudget], Any]) -> Any:
        """Call `read` on the event loop if the request is small, else in a thread."""
        if length <= limits.MAX_BYTES_ON_EVENT_LOOP:
            try:
                return read(PixelBudget(limits.MAX_PIXELS_ON_EVENT_LOOP))
            except TooLargeForEventLoop:
                pass
        if self._large_requests >= limits.MAX_LARGE_REQUESTS:
            raise Overloaded
        self._large_requests += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reader, read, PixelBudget())
        finally:
            self._large_requests -= 1
