"""The gRPC health service, `grpc.health.v1`, which Kubernetes' `grpc:` probes and load balancers ask."""

import asyncio
from collections.abc import AsyncIterator

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_interceptor.exceptions import NotFound

from distml.serving.predictor import Predictor


class HealthServicer(health_pb2_grpc.HealthServicer):
    """The predictor's health, the same for each of `services`: SERVING, then NOT_SERVING once draining starts.

    grpc_health's own servicer forgets all watchers of a service when one of them leaves.
    """

    def __init__(self, predictor: Predictor, services: set[str]):
        self._predictor = predictor
        self._services = services
        self._ended = asyncio.Event()

    async def Check(self, request: HealthCheckRequest, context: grpc.aio.ServicerContext) -> HealthCheckResponse:
        if request.service not in self._services:
            raise NotFound(f"unknown service; this server has {', '.join(sorted(filter(None, self._services)))}")
        return self._health()

    async def Watch(
        self, request: HealthCheckRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[HealthCheckResponse]:
        """Yield the health now and after each change, until `end`."""
        if request.service not in self._services:
            yield HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)
        else:
            if self._predictor.ready:
                yield self._health()
                await self._predictor.draining.wait()
            yield self._health()
        await self._ended.wait()

    def end(self) -> None:
        """End every Watch, for which the server would wait before it exits."""
        self._ended.set()

    def _health(self) -> HealthCheckResponse:
        return HealthCheckResponse(
            status=HealthCheckResponse.SERVING if self._predictor.ready else HealthCheckResponse.NOT_SERVING
        )
