"""The gRPC server: KServe's inference service, and the health and reflection services that gRPC tools expect."""

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_interceptor.exceptions import NotFound
from grpc_reflection.v1alpha import reflection
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from kserve.protocol.grpc.interceptors import ExceptionToStatusInterceptor, LoggingInterceptor
from kserve.protocol.grpc.servicer import InferenceServicer
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from distml.protocol import limits
from distml.serving.grpc import front_door
from distml.serving.grpc.health import HealthServicer
from distml.serving.predictor import Predictor
from distml.serving.release.served_version import NotServed

INFERENCE = messages.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name


class VersionedInferenceServicer(InferenceServicer):
    """KServe's inference service, which ignores the version in requests for a model's state and metadata."""

    def __init__(self, predictor: Predictor, data_plane: DataPlane, repository: ModelRepositoryExtension):
        super().__init__(data_plane, repository)
        self._predictor = predictor

    async def ModelInfer(
        self, request: messages.ModelInferRequest, context: grpc.aio.ServicerContext
    ) -> messages.ModelInferResponse:
        """Pass on the message as it is: KServe's parser would refuse some datatypes, and name no reason."""
        return await front_door.infer(self._predictor, request)

    async def ModelReady(
        self, request: messages.ModelReadyRequest, context: grpc.aio.ServicerContext
    ) -> messages.ModelReadyResponse:
        self._check_address(request)
        return await super().ModelReady(request, context)

    async def ModelMetadata(
        self, request: messages.ModelMetadataRequest, context: grpc.aio.ServicerContext
    ) -> messages.ModelMetadataResponse:
        """Answer with the versions too, which KServe leaves out."""
        self._check_address(request)
        return messages.ModelMetadataResponse(**await self._data_plane.model_metadata(request.name))

    def _check_address(self, request: messages.ModelReadyRequest | messages.ModelMetadataRequest) -> None:
        try:
            self._predictor.check_address(request.name, request.version)
        except NotServed as error:
            raise NotFound(str(error)) from None


class GRPCServer:
    """A gRPC server at one address, with the interface of KServe's: KServe's own offers inference alone."""

    def __init__(
        self,
        address: str,
        predictor: Predictor,
        data_plane: DataPlane,
        repository: ModelRepositoryExtension,
    ):
        self._address = address
        self._inference = VersionedInferenceServicer(predictor, data_plane, repository)
        self._health = HealthServicer(predictor, {health.OVERALL_HEALTH, INFERENCE, predictor.model_name})
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Serve until `stop`."""
        lengths = ("grpc.max_send_message_length", "grpc.max_receive_message_length")
        self._server = grpc.aio.server(
            interceptors=(LoggingInterceptor(), ExceptionToStatusInterceptor()),
            options=[(length, limits.MAX_BYTES_OF_BODY) for length in lengths],
        )
        add_GRPCInferenceServiceServicer_to_server(self._inference, self._server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        services = (INFERENCE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(services, self._server)
        self._server.add_insecure_port(self._address)
        await self._server.start()
        await self._server.wait_for_termination()

    async def stop(self) -> None:
        """Stop accepting requests, and give those in progress time to finish."""
        self._health.end()
        if self._server:
            await self._server.stop(limits.SECONDS_TO_FINISH)
