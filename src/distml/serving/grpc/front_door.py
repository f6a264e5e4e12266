"""The gRPC front door: a KServe model that passes gRPC requests to the predictor."""

import asyncio

import grpc_interceptor.exceptions
from kserve import Model
from kserve.errors import InvalidInput, ModelNotFound
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest, ModelInferResponse

from distml.model.image_decoding import SIZE
from distml.protocol import v2_grpc
from distml.protocol.contract import FILES, OUTPUTS, PIXELS, BadInput
from distml.serving import metrics
from distml.serving.admission import Overloaded
from distml.serving.predictor import Predictor
from distml.serving.release.served_version import OtherVersion, check_version


class RegisteredModel(Model):
    """The predictor as a KServe model: gRPC inference, readiness, metadata. REST inference has its own front door."""

    def __init__(self, predictor: Predictor):
        self._predictor = predictor
        super().__init__(predictor.model_name)

    @property
    def ready(self) -> bool:
        return self._predictor.ready

    @ready.setter
    def ready(self, ready: bool) -> None:
        """Ignore the value that KServe sets: the predictor decides."""

    def load(self) -> bool:
        """Load nothing: the version watch loads versions. KServe calls this for a request if the model is not ready."""
        return self.ready

    async def predict(
        self, payload: ModelInferRequest, headers: dict[str, str] | None = None, response_headers: dict | None = None
    ) -> ModelInferResponse:
        """Answer a gRPC request; KServe turns the exceptions into status codes."""
        with metrics.Request("grpc") as request:
            try:
                check_version(payload.model_version, self._predictor.version)
                length = v2_grpc.length_of(payload)
                with self._predictor.admission.admit() as count_bytes:
                    count_bytes(length)
                    return await self._predictor.answer_grpc(payload, length)
            except OtherVersion:
                request.outcome = "not found"
                raise ModelNotFound(f"{self.name}, version {payload.model_version},") from None
            except BadInput as error:
                request.outcome = "bad input"
                raise InvalidInput(str(error)) from None
            except Overloaded:
                request.outcome = "overloaded"
                raise grpc_interceptor.exceptions.Unavailable("overloaded; retry in a second") from None
            except asyncio.CancelledError:
                request.outcome = "hung up"
                raise

    @property
    def versions(self) -> list[str]:
        """The versions that a request may name: the one that answers."""
        return [str(self._predictor.version.number)]

    def get_input_types(self) -> list[dict]:
        """Return the two inputs; a request has one of them."""
        return [
            {"name": FILES, "datatype": "BYTES", "shape": [-1]},
            {"name": PIXELS, "datatype": "UINT8", "shape": [-1, SIZE, SIZE, 1]},
        ]

    def get_output_types(self) -> list[dict]:
        """Return the three outputs; a request may name some of them."""
        classes = len(self._predictor.version.class_names)
        return [
            {"name": name, "datatype": datatype, "shape": [-1, *([classes] if name == "probabilities" else [])]}
            for name, datatype in OUTPUTS.items()
        ]
