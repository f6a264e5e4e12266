"""The predictor's process, from its first version to its end."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from kserve import model_server

from distml.protocol import limits
from distml.protocol.contract import MODEL_NAME
from distml.serving import event_log
from distml.serving.grpc.front_door import RegisteredModel
from distml.serving.http import openapi
from distml.serving.kserve_server import PredictorServer
from distml.serving.predictor import Predictor
from distml.serving.release.version_watch import VersionWatch
from distml.step import network, outcome


def serve(
    folder: Path,
    *,
    http_port: int,
    grpc_port: int,
    engine_threads: int,
    poll_seconds: float,
    drain_seconds: float,
) -> None:
    """Serve the newest whole version in `folder`, and those that follow it, until SIGTERM.

    Args:
        folder: holds the published versions.
        http_port: for V1 and V2 over REST.
        grpc_port: for V2 over gRPC.
        engine_threads: threads that one inference uses.
        poll_seconds: between looks for versions.
        drain_seconds: how long it serves on after SIGTERM.

    Raises:
        StepError: there is no version, or a port is taken.
    """
    event_log.configure()
    if http_port == grpc_port:
        raise outcome.StepError(f"REST and gRPC cannot share port {http_port}; choose another --grpc-port")
    for option, port in (("--http-port", http_port), ("--grpc-port", grpc_port)):
        check_port(option, port)
    watch = VersionWatch(folder, engine_threads)
    version = watch.newest()
    if version is None:
        raise outcome.StepError(f"no published model that is whole in {folder}; publish one, or name another --volume")
    predictor = Predictor(version)
    event_log.event("version loaded", version=version.number, digest=version.manifest["digest"])

    @asynccontextmanager
    async def while_running(app: FastAPI) -> AsyncIterator[None]:
        following = asyncio.create_task(watch.follow(version, predictor.switch_to, poll_seconds))
        drain_on_sigterm(predictor, drain_seconds)
        event_log.event("serving", http_port=http_port, grpc_port=grpc_port, model=MODEL_NAME)
        yield
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        following.cancel()
        event_log.event("stopping")

    model_server.app.router.lifespan_context = while_running
    model_server.args.grpc_max_receive_message_length = limits.MAX_BYTES_OF_BODY
    openapi.describe(model_server.app)
    PredictorServer(predictor, http_port, grpc_port).start([RegisteredModel(predictor)])


def check_port(option: str, port: int) -> None:
    """Refuse a port that is taken: KServe would end with a stack, and gRPC would share it with another process."""
    try:
        network.listen(port).close()
    except OSError as error:
        raise outcome.StepError(
            f"cannot listen on port {port}: {network.reason(error)}; choose another {option}"
        ) from None


def drain_on_sigterm(predictor: Predictor, seconds: float) -> None:
    """On SIGTERM, be not ready, serve on for `seconds`, until clients have noticed, then stop."""
    stop: Any = signal.getsignal(signal.SIGTERM)
    loop = asyncio.get_running_loop()

    def drain() -> None:
        predictor.ready = False
        event_log.event("draining", seconds=seconds)
        loop.call_later(seconds, stop, signal.SIGTERM, None)

    loop.add_signal_handler(signal.SIGTERM, drain)
