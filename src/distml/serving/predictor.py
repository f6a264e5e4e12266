"""The predictor: reads a request's images, classifies them in a batch and writes the answer, for each protocol."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest, ModelInferResponse

from distml.protocol import limits, v1, v2_grpc, v2_rest
from distml.protocol.contract import ModelSpec
from distml.protocol.images import PixelBudget, TooLargeForEventLoop
from distml.serving import event_log, metrics
from distml.serving.admission import Admission, Overloaded
from distml.serving.batching import Batcher
from distml.serving.release.served_version import ServedVersion, check_version


class Predictor:
    """The predictor, which answers with one published version at a time; it is ready until `draining` is set.

    Callers enter `admission.admit()` before they ask for an answer.
    """

    def __init__(self, version: ServedVersion, model_name: str):
        self.model_name = model_name
        self.admission = Admission()
        self._batcher = Batcher(version)
        self._reader = ThreadPoolExecutor(1, "reader")
        self._large_requests = 0
        metrics.show_model(version.number, version.manifest)
        self.draining = asyncio.Event()

    @property
    def ready(self) -> bool:
        return not self.draining.is_set()

    @property
    def version(self) -> ServedVersion:
        return self._batcher.version

    @property
    def spec(self) -> ModelSpec:
        return self._spec(self.version)

    def switch_to(self, version: ServedVersion) -> None:
        """Answer with `version` from the next batch on."""
        metrics.show_model(version.number, version.manifest)
        self._batcher.version = version
        event_log.event("version taken up", version=version.number, digest=version.manifest["digest"])

    async def answer_v1(self, body: bytes | bytearray, wanted: str | None = None) -> tuple[bytes, None]:
        """Answer the body of a V1 request.

        Raises:
            BadInput: the request is invalid; the message names what the client must change.
            Overloaded: the client should retry later.
            OtherVersion: `wanted` is not the version that answers; another may take over while a request waits.
        """
        request = await self._read(len(body), partial(v1.read_request, body))
        probabilities, version = await self._batcher.classify(request.images)
        check_version(wanted, version)
        return v1.answer(probabilities, self._spec(version), request.columnar), None

    async def answer_v2(
        self, body: bytes | bytearray, json_length: int | None, wanted: str | None = None
    ) -> tuple[bytes, int | None]:
        """Answer the body of a V2 request; see `v2_rest.read_request` and `v2_rest.answer`.

        Raises:
            BadInput, Overloaded, OtherVersion: as for V1.
        """
        request = await self._read(len(body), partial(v2_rest.read_request, body, json_length))
        probabilities, version = await self._batcher.classify(request.images)
        check_version(wanted, version)
        return v2_rest.answer(request, probabilities, self._spec(version))

    async def answer_grpc(self, message: ModelInferRequest, length: int) -> ModelInferResponse:
        """Answer a gRPC request of about `length` bytes.

        Raises:
            BadInput, Overloaded, OtherVersion: as for V1.
        """
        request = await self._read(length, partial(v2_grpc.read_request, message))
        probabilities, version = await self._batcher.classify(request.images)
        check_version(message.model_version, version)
        return v2_grpc.answer(request, probabilities, self._spec(version))

    def _spec(self, version: ServedVersion) -> ModelSpec:
        return ModelSpec(self.model_name, version.number, version.class_names)

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
