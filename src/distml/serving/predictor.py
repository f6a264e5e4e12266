"""The model as KServe's server sees it, and what answers both its REST and its gRPC requests."""

import asyncio
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NoReturn

import grpc_interceptor.exceptions
from kserve import InferRequest, InferResponse, Model
from kserve.errors import InvalidInput, ModelNotFound
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from distml.model.image_decoding import SIZE
from distml.protocol import inference_answer, inference_request, limits
from distml.protocol.contract import FILES, MODEL_NAME, OUTPUTS, PIXELS, BadInput
from distml.protocol.inference_request import NotHere, PixelBudget
from distml.serving import event_log, metrics
from distml.serving.admission import Admission, Overloaded
from distml.serving.batching import Batcher
from distml.serving.release.served_version import ServedVersion


class OtherVersion(Exception):
    """The request asks for a version that is not the one that is served; the message is one sentence."""


def check_version(wanted: str | None, served: ServedVersion) -> None:
    """Raises OtherVersion unless `wanted`, if any, is the one that is served."""
    if wanted and wanted != str(served.number):
        raise OtherVersion(f"version {wanted} is not what is served")


class Predictor(Model):
    """`flower-sample`: ready from its first version until it is told to stop."""

    def __init__(self, version: ServedVersion):
        super().__init__(MODEL_NAME)
        self.admission = Admission()
        self._batcher = Batcher(version)
        self._reader = ThreadPoolExecutor(1, "reader")
        self._reading = 0
        metrics.show_model(version.number, version.manifest)
        self.ready = True

    @property
    def version(self) -> ServedVersion:
        return self._batcher.version

    def take_up(self, version: ServedVersion) -> None:
        """Answer with `version` from the next batch on."""
        metrics.show_model(version.number, version.manifest)
        self._batcher.version = version
        event_log.event("version taken up", version=version.number, digest=version.manifest["digest"])

    def load(self) -> bool:
        """KServe calls this for a request while the model is not ready; loading is the version watch's."""
        return self.ready

    def start(self) -> None:
        """KServe's would set the model ready."""

    async def answer_v1(self, body: bytes | bytearray) -> tuple[bytes, None]:
        """Answer the body of a V1 request.

        Raises:
            BadInput: what the sender has to change.
            Overloaded: it should come again later.
        """
        images = await self._read(len(body), partial(inference_request.images_of_v1, body))
        probabilities, version = await self._batcher.classify(images)
        return inference_answer.v1(MODEL_NAME, version, probabilities), None

    async def answer_v2(
        self, body: bytes | bytearray, json_length: int | None, wanted: str | None = None
    ) -> tuple[bytes, int | None]:
        """Answer the body of a V2 request; see `inference_request.v2_request` and `inference_answer.v2`.

        Raises:
            BadInput, Overloaded: as for V1.
            OtherVersion: the version that answers is not `wanted`; another may take over while a request waits.
        """
        request = await self._read(len(body), partial(inference_request.v2_request, body, json_length))
        probabilities, version = await self._batcher.classify(request.images)
        check_version(wanted, version)
        return inference_answer.v2(MODEL_NAME, version, probabilities, request.outputs, request.id or str(uuid.uuid4()))

    async def predict(
        self, payload: InferRequest, headers: dict[str, str] | None = None, response_headers: dict | None = None
    ) -> InferResponse:
        """Answer a gRPC request; KServe turns what this raises into status codes."""
        wanted = payload.model_version
        with metrics.Request("grpc") as request:
            try:
                check_version(wanted, self.version)
                length = inference_request.grpc_length(payload)
                with self.admission.admit() as take:
                    take(length)
                    images = await self._read(length, partial(inference_request.images_of_grpc, payload))
                    outputs = inference_request.grpc_outputs(payload)
                    probabilities, version = await self._batcher.classify(images)
                check_version(wanted, version)
            except OtherVersion:
                request.outcome = "not found"
                raise ModelNotFound(f"{MODEL_NAME}, version {wanted},") from None
            except BadInput as error:
                request.outcome = "bad input"
                raise InvalidInput(str(error)) from None
            except Overloaded:
                request.outcome = "overloaded"
                raise grpc_interceptor.exceptions.Unavailable("overloaded; come again in a second") from None
            except asyncio.CancelledError:
                request.outcome = "hung up"
                raise
            return inference_answer.grpc(MODEL_NAME, version, probabilities, outputs, payload.id or str(uuid.uuid4()))

    async def _read(self, length: int, read: Callable[[PixelBudget], Any]) -> Any:
        """Call `read`, here when little is to be read, else in a thread."""
        if length <= limits.MAX_BYTES_ON_EVENT_LOOP:
            try:
                return read(PixelBudget(limits.MAX_PIXELS_ON_EVENT_LOOP))
            except NotHere:
                pass
        if self._reading >= limits.MAX_LARGE_REQUESTS:
            raise Overloaded
        self._reading += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._reader, read, PixelBudget())
        finally:
            self._reading -= 1

    def get_input_types(self) -> list[dict]:
        """The two inputs, of which a request has one."""
        return [
            {"name": FILES, "datatype": "BYTES", "shape": [-1]},
            {"name": PIXELS, "datatype": "UINT8", "shape": [-1, SIZE, SIZE, 1]},
        ]

    def get_output_types(self) -> list[dict]:
        classes = len(self.version.class_names)
        return [
            {"name": name, "datatype": datatype, "shape": [-1, *([classes] if name == "probabilities" else [])]}
            for name, datatype in OUTPUTS.items()
        ]


class HonestDataPlane(DataPlane):
    """KServe's says that the server is ready whenever it runs, and that models can be loaded and unloaded."""

    def metadata(self) -> dict:
        return {**super().metadata(), "extensions": ["binary_tensor_data"]}

    async def ready(self) -> bool:
        return await self.model_registry.is_model_ready(MODEL_NAME)


class PublishedVersionsOnly(ModelRepositoryExtension):
    """Which model is loaded is decided by what is published, not by whoever sends a request."""

    async def load(self, model_name: str) -> NoReturn:
        raise InvalidInput("models are loaded by publishing them")

    async def unload(self, model_name: str) -> NoReturn:
        raise InvalidInput("models are unloaded by publishing others")
