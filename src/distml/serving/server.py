"""KServe's model server with one predictor in it, from its first version to its end."""

import argparse
import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import uvloop
from fastapi import FastAPI
from kserve import ModelServer, model_server

from distml.protocol import limits
from distml.serving import event_log
from distml.serving.http import openapi
from distml.serving.http.bounded_http import BoundedHttp
from distml.serving.http.front_door import FrontDoor
from distml.serving.predictor import HonestDataPlane, Predictor, PublishedVersionsOnly
from distml.serving.release.version_watch import VersionWatch
from distml.step import network, outcome


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
        self.dataplane = HonestDataPlane(model_registry=self.registered_models)
        self.model_repository_extension = PublishedVersionsOnly(model_registry=self.registered_models)

    def setup_event_loop(self) -> None:
        """KServe prepares a loop of plain asyncio, and then runs another one."""
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())

    async def _serve(self) -> None:
        # The servers exist by now, and do not listen yet.
        self._rest_server.config.app = FrontDoor(model_server.app, self._predictor)
        self._rest_server.config.http = BoundedHttp
        # KServe's REST listens on IPv4 alone; its gRPC listens on both families.
        uvicorn_server = self._rest_server._server
        uvicorn_server.serve = partial(uvicorn_server.serve, sockets=[network.listen(self.http_port)])
        await super()._serve()

    def stop(self, sig: int) -> None:
        """Called when REST has ended. KServe's would unload the model first: gRPC would say that there is none."""
        self._end = asyncio.create_task(self._grpc_server.stop(sig))


def serve(folder: Path, args: argparse.Namespace) -> None:
    """Serve the newest whole version in `folder`, and those that follow it, until SIGTERM.

    Raises:
        StepError: there is none, or a port is taken.
    """
    event_log.configure()
    if args.http_port == args.grpc_port:
        raise outcome.StepError(f"REST and gRPC cannot share port {args.http_port}; choose another --grpc-port")
    for option, port in (("--http-port", args.http_port), ("--grpc-port", args.grpc_port)):
        check_port(option, port)
    watch = VersionWatch(folder, args.engine_threads)
    version = watch.newest()
    if version is None:
        raise outcome.StepError(f"no published model that is whole in {folder}; publish one, or name another --volume")
    predictor = Predictor(version)
    event_log.event("version loaded", version=version.number, digest=version.manifest["digest"])

    @asynccontextmanager
    async def while_running(app: FastAPI) -> AsyncIterator[None]:
        following = asyncio.create_task(watch.follow(version, predictor.take_up, args.poll_seconds))
        drain_on_sigterm(predictor, args.drain_seconds)
        event_log.event("serving", http_port=args.http_port, grpc_port=args.grpc_port, model=predictor.name)
        yield
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        following.cancel()
        event_log.event("stopping")

    model_server.app.router.lifespan_context = while_running
    model_server.args.grpc_max_receive_message_length = limits.MAX_BYTES_OF_BODY
    openapi.describe(model_server.app)
    PredictorServer(predictor, args.http_port, args.grpc_port).start([predictor])


def check_port(option: str, port: int) -> None:
    """KServe would end with a stack over a port that is taken, gRPC would share it with whoever has it."""
    try:
        network.listen(port).close()
    except OSError as error:
        raise outcome.StepError(
            f"cannot listen on port {port}: {network.reason(error)}; choose another {option}"
        ) from None


def drain_on_sigterm(predictor: Predictor, seconds: float) -> None:
    """On SIGTERM: not ready, then serve on for `seconds`, until whoever sends requests has noticed, then stop."""
    stop: Any = signal.getsignal(signal.SIGTERM)
    loop = asyncio.get_running_loop()

    def drain() -> None:
        predictor.ready = False
        event_log.event("draining", seconds=seconds)
        loop.call_later(seconds, stop, signal.SIGTERM, None)

    loop.add_signal_handler(signal.SIGTERM, drain)
