"""The predictor's process, from loading the first version to its exit."""

import asyncio
import contextlib
import ctypes
import resource
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from kserve import model_server

from distml.serving.grpc.front_door import RegisteredModel
from distml.serving.http import openapi
from distml.serving.http.cross_origin import CrossOrigin
from distml.serving.http.front_door import FrontDoor
from distml.serving.kserve_server import PredictorServer
from distml.serving.monitoring import event_log, volume_usage
from distml.serving.page.page import Page
from distml.serving.predictor import Predictor
from distml.serving.release.comparison import Bounds
from distml.serving.release.version_watch import VersionWatch
from distml.step import network, outcome

# The number of a setting in glibc's malloc.h.
M_ARENA_MAX = -8


@dataclass(frozen=True)
class Options:
    """The settings of the predictor's process.

    Attributes:
        folder: the folder of the published versions.
        model_name: the name under which the model answers.
        host: a name or an address of this machine; "" for each of its addresses.
        http_port: port of V1 and V2 over REST, and of the page.
        grpc_port: port of V2 over gRPC.
        engine_threads: number of threads per inference.
        poll_seconds: time between checks for versions.
        drain_seconds: time to keep serving after SIGTERM.
        cors_origins: the origins whose pages may read answers in a browser.
        has_page: serve the page at /.
        bounds: of the trial of a newer version; None lets a newer version answer at once.
        public_key: PEM file; only versions signed with its private key are served; None serves every version.
    """

    folder: Path
    model_name: str
    host: str
    http_port: int
    grpc_port: int
    engine_threads: int
    poll_seconds: float
    drain_seconds: float
    cors_origins: list[str]
    has_page: bool
    bounds: Bounds | None
    public_key: Path | None = None


def serve(options: Options) -> None:
    """Serve a published version, and those that replace it, until SIGTERM.

    Raises:
        StepError: no version is intact, or a port is in use.
    """
    use_one_memory_pool()
    event_log.configure()
    raise_limit_of_files()
    if options.http_port == options.grpc_port:
        raise outcome.StepError(
            f"REST and gRPC cannot share port {options.http_port}; choose another --grpc-port (make serve"
            " GRPC_PORT=...)"
        )
    check_port(options.host, "--http-port (make serve HTTP_PORT=...)", options.http_port)
    check_port(options.host, "--grpc-port (make serve GRPC_PORT=...)", options.grpc_port)
    if options.public_key:
        from model_signing import verifying  # noqa: F401 - takes a second, which no request should wait for
    watch = VersionWatch(options.folder, options.engine_threads, options.bounds, options.public_key)
    version = watch.first()
    if version is None:
        newest = f" ({watch.newest_refusal[1]})" if watch.newest_refusal[1] else ""
        raise outcome.StepError(
            f"no published model in {options.folder} can be served{newest}; publish one or choose another --volume"
            " (make serve DATA=...)"
        )
    predictor = Predictor(version, options.model_name, watch.releases)
    event_log.event("version loaded", version=version.number, digest=version.manifest["digest"])

    @contextlib.asynccontextmanager
    async def while_running(app: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(watch.follow(predictor.batcher, predictor.switch_to, options.poll_seconds))
        measuring = asyncio.create_task(volume_usage.follow(options.folder))
        drain_on_sigterm(predictor, options.drain_seconds)
        ports = {"http_port": options.http_port, "grpc_port": options.grpc_port}
        event_log.event("serving", host=options.host or "all", **ports, model=options.model_name)
        yield
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        watching.cancel()
        measuring.cancel()
        event_log.event("stopping")

    model_server.app.router.lifespan_context = while_running
    app = http_app(predictor, options)
    server = PredictorServer(predictor, options.host, options.http_port, options.grpc_port, app)
    server.start([RegisteredModel(predictor)])


def use_one_memory_pool() -> None:
    """Let all threads allocate from one pool, before there are threads.

    glibc gives each thread a pool of its own, over which odd requests scatter; the memory then grows for hours.
    """
    with contextlib.suppress(AttributeError):  # other C libraries have no mallopt
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def http_app(predictor: Predictor, options: Options) -> FrontDoor | CrossOrigin:
    """Return the HTTP front door around KServe's routes."""
    openapi.describe(model_server.app, options.model_name)
    front_door = FrontDoor(model_server.app, predictor, Page(options.model_name) if options.has_page else None)
    return CrossOrigin(front_door, options.cors_origins) if options.cors_origins else front_door


def raise_limit_of_files() -> None:
    """Allow as many open files, and so connections, as this user may have; shells and containers often allow 1,024.

    Beyond the limit, uvloop closes a new connection without an answer.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS allows less than the limit that it reports
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def check_port(host: str, option: str, port: int) -> None:
    """Raise StepError if `port` cannot be used: KServe would end with a stack trace, or gRPC would share the port."""
    try:
        for listener in network.listen_at(host, port):
            listener.close()
    except OSError as error:
        if isinstance(error, socket.gaierror) or error.errno in network.WITHOUT_IPV6:
            raise outcome.StepError(
                f"{host} is no address of this machine; choose another --host (make serve HOST=...), such as localhost"
            ) from None
        raise outcome.StepError(
            f"cannot listen on port {port}: {network.reason(error)}; choose another {option}"
        ) from None


def drain_on_sigterm(predictor: Predictor, seconds: float) -> None:
    """Handle SIGTERM: become not ready, keep serving for `seconds` so that clients notice, then stop."""
    stop: Any = signal.getsignal(signal.SIGTERM)
    loop = asyncio.get_running_loop()

    def drain() -> None:
        predictor.draining.set()
        event_log.event("draining", seconds=seconds)
        loop.call_later(seconds, stop, signal.SIGTERM, None)

    loop.add_signal_handler(signal.SIGTERM, drain)
