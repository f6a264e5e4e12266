"""KServe's model server, with the front door before its routes and without what this model does not offer."""

import asyncio
from functools import partial
from typing import NoReturn

import uvloop
from kserve import ModelServer, model_server
from kserve.errors import InvalidInput
from kserve.protocol.dataplane import DataPlane
from kserve.protocol.model_repository_extension import ModelRepositoryExtension

from distml.protocol import limits
from distml.protocol.contract import MODEL_NAME
from distml.serving.http.connection_limits import LimitedConnection
from distml.serving.http.front_door import FrontDoor
from distml.serving.predictor import Predictor
from distml.step import network


class ModelReadinessDataPlane(DataPlane):
    """Ready when the model is; KServe's is ready whenever it runs, and offers to load and unload models."""

    def metadata(self) -> dict:
        return {**super().metadata(), "extensions": ["binary_tensor_data"]}

    async def ready(self) -> bool:
        return await self.model_registry.is_model_ready(MODEL_NAME)


class PublishedVersionsOnly(ModelRepositoryExtension):
    """What is published decides which model is loaded, not the sender of a request."""

    async def load(self, model_name: str) -> NoReturn:
        raise InvalidInput("models are loaded by publishing them")

    async def unload(self, model_name: str) -> NoReturn:
        raise InvalidInput("models are unloaded by publishing others")


class PredictorServer(ModelServer):
    """KServe's server with one predictor, and the front door before its routes."""

    def __init__(self, predictor: Predictor, http_port: int, grpc_port: int):
        # One process: several would each have metrics and a queue of their own.
        super().__init__(
            http_port,
            grpc_port,
            workers=1,
            enable_grpc=True,
            enable_latency_logging=False,
            grace_period=limits.SECONDS_TO_FINISH,
        )
        self._predictor = predictor
        self.dataplane = ModelReadinessDataPlane(model_registry=self.registered_models)
        self.model_repository_extension = PublishedVersionsOnly(model_registry=self.registered_models)

    def setup_event_loop(self) -> None:
        """KServe prepares a loop of plain asyncio, and then runs another one."""
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())

    async def _serve(self) -> None:
        # The servers exist by now, and do not listen yet.
        self._rest_server.config.app = FrontDoor(model_server.app, self._predictor)
        self._rest_server.config.http = LimitedConnection
        # KServe's REST listens on IPv4 alone; its gRPC listens on both families.
        uvicorn_server = self._rest_server._server
        uvicorn_server.serve = partial(uvicorn_server.serve, sockets=[network.listen(self.http_port)])
        await super()._serve()

    def stop(self, sig: int) -> None:
        """End gRPC when REST has ended. KServe's would unload the model first: gRPC would say that there is none."""
        self._end = asyncio.create_task(self._grpc_server.stop(sig))
