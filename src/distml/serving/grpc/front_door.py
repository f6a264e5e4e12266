"""The gRPC front door: inference, and the KServe model that tells readiness and metadata."""

import asyncio

from grpc_interceptor.exceptions import InvalidArgument, NotFound, Unavailable
from kserve import Model
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest, ModelInferResponse

from distml.model.image_decoding import SIZE
from distml.protocol import v2_grpc
from distml.protocol.contract import FILES, OUTPUTS, PIXELS, BadInput
from distml.serving.admission import Overloaded
from distml.serving.monitoring import metrics
from distml.serving.predictor import Predictor
from distml.serving.release.served_version import NotServed, TakenBack


async def infer(predictor: Predictor, message: ModelInferRequest) -> ModelInferResponse:
    """Answer a gRPC request; the servers' interceptor turns the exceptions into status codes."""
    with metrics.Request("grpc") as request:
        try:
            predictor.check_address(message.model_name, message.model_version)
            length = v2_grpc.length_of(message)
            with predictor.admission.admit() as count_bytes:
                count_bytes(length)
                return await predictor.answer_grpc(message, length)
        except NotServed as error:
            request.outcome = "not found"
            raise NotFound(str(error)) from None
        except BadInput as error:
            request.outcome = "bad input"
            raise InvalidArgument(str(error)) from None
        except Overloaded:
            request.outcome = "overloaded"
            raise Unavailable("overloaded; retry in a second") from None
        except TakenBack as error:
            request.outcome = "taken back"
            raise Unavailable(str(error)) from None
        except asyncio.CancelledError:
            request.outcome = "hung up"
            raise


class RegisteredModel(Model):
    """The predictor as a KServe model: its readiness and metadata. Inference does not pass through KServe's model."""

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
