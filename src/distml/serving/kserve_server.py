"""KServe's model server behind the front door, reduced to what this model offers."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import NoReturn

import uvloop
from kserve import ModelServer
from kserve.errors import InvalidInput
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from distml.protocol import limits
from distml.serving.grpc.server import GRPCServer
from distml.serving.http.connection import Connection
from distml.serving.predictor import Predictor
from distml.step import network


class ModelReadinessDataPlane(DataPlane):
    """A data plane that is ready when the model is, and tells its version.

    KServe's is always ready, offers to load and unload models, and tells neither version nor platform.
    """

    def metadata(self) -> dict:
        return {**super().metadata(), "extensions": ["binary_tensor_data"]}

    async def model_metadata(self, model_name: str) -> dict:
        metadata = await super().model_metadata(model_name)
        # V2 names a platform by the engine's project and the model's format: here LiteRT reads a .tflite file.
        return {**metadata, "versions": self.get_model_from_registry(model_name).versions, "platform": "litert_tflite"}

    async def ready(self) -> bool:
        return all([await self.model_registry.is_model_ready(name) for name in self.model_registry.get_models()])


class PublishedVersionsOnly(ModelRepositoryExtension):
    """A model repository that refuses requests to load or unload: publishing decides which version is loaded."""

    async def load(self, model_name: str) -> NoReturn:
        raise InvalidInput("a request cannot load a model; publish the model instead")

    async def unload(self, model_name: str) -> NoReturn:
        raise InvalidInput("a request cannot unload a model; publish another version instead")


class PredictorServer(ModelServer):
    """KServe's server with one predictor, behind the front doors."""

    def __init__(self, predictor: Predictor, host: str, http_port: int, grpc_port: int, http_app: Callable):
        # With several processes, each would have its own metrics and queue.
        super().__init__(
            http_port,
            grpc_port,
            workers=1,
            enable_grpc=False,  # in place of KServe's gRPC server, `_serve` starts ours
            enable_latency_logging=False,
            grace_period=limits.SECONDS_TO_FINISH,
            timeout_keep_alive=limits.SECONDS_OF_KEEP_ALIVE,
        )
        self._http_app = http_app
        self._host = host
        self.dataplane = ModelReadinessDataPlane(model_registry=self.registered_models)
        self.model_repository_extension = PublishedVersionsOnly(model_registry=self.registered_models)
        self._grpc_server = GRPCServer(
            network.format_address(host or "::", grpc_port), predictor, self.dataplane, self.model_repository_extension
        )

    def setup_event_loop(self) -> None:
        """Choose uvloop. KServe would set up a loop here that it never runs."""
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())

    async def _serve(self) -> None:
        # KServe has created its REST server, which does not listen yet.
        config = self._rest_server.config
        config.app, config.http, config.ws, config.proxy_headers = self._http_app, Connection, "none", False
        # KServe's REST server listens on IPv4 only.
        uvicorn_server = self._rest_server._server
        uvicorn_server.serve = partial(uvicorn_server.serve, sockets=network.listen_at(self._host, self.http_port))
        self.servers.append(self._grpc_server.start())
        await super()._serve()

    def stop(self, sig: int) -> None:
        """Stop gRPC after REST has ended. KServe would unload the model first, and gRPC would answer NOT_FOUND."""
        self._grpc_end = asyncio.create_task(self._grpc_server.stop())
