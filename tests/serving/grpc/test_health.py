"""gRPC health and reflection of the predictor, a real process on loopback, asked by gRPC's own clients."""

import signal
from pathlib import Path

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from kserve import InferInput, InferRequest
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

from distml.step.volume import Volume
from support.predictor_process import Predictor, predictor

SERVICES = ("", "inference.GRPCInferenceService", "flower-sample")
HEALTH, REFLECTION = "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"


def status(answer: HealthCheckResponse) -> str:
    return HealthCheckResponse.ServingStatus.Name(answer.status)


@pytest.mark.parametrize("service", SERVICES)
def test_a_ready_predictor_and_its_services_are_serving(channel: grpc.Channel, service: str) -> None:
    assert status(HealthStub(channel).Check(HealthCheckRequest(service=service), timeout=20)) == "SERVING"


def test_a_check_of_an_unknown_service_is_not_found(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        HealthStub(channel).Check(HealthCheckRequest(service="another"), timeout=20)
    sentence = "unknown service; this server has flower-sample, inference.GRPCInferenceService"
    assert (caught.value.code().name, caught.value.details()) == ("NOT_FOUND", sentence)


def test_a_watch_of_an_unknown_service_says_so_and_stays_open(channel: grpc.Channel) -> None:
    watch = HealthStub(channel).Watch(HealthCheckRequest(service="another"), timeout=20)
    assert status(next(watch)) == "SERVICE_UNKNOWN"
    assert watch.is_active()
    watch.cancel()


def test_sigterm_ends_health_before_answers_and_watches(published_volume: Volume, tmp_path: Path) -> None:
    with (
        predictor(published_volume, tmp_path / "log", "--drain-seconds", 600) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        stub = HealthStub(channel)
        watches = [stub.Watch(HealthCheckRequest(service=service), timeout=60) for service in (*SERVICES, "")]
        assert [status(next(watch)) for watch in watches] == ["SERVING"] * 4
        watches.pop().cancel()  # one of two for the same service
        server.process.terminate()
        assert [status(next(watch)) for watch in watches] == ["NOT_SERVING"] * 3
        assert status(stub.Check(HealthCheckRequest(), timeout=20)) == "NOT_SERVING"
        pixels = InferInput("images", [1, 28, 28, 1], "UINT8", [0] * 28 * 28)
        answer = GRPCInferenceServiceStub(channel).ModelInfer(
            InferRequest("flower-sample", [pixels]).to_grpc(), timeout=20
        )
        assert answer.model_version == "1"
        server.process.send_signal(signal.SIGINT)
        assert [list(watch) for watch in watches] == [[], [], []]
        assert server.process.wait(timeout=60) == 0


def test_reflection_lists_and_describes_every_service(channel: grpc.Channel) -> None:
    described = ProtoReflectionDescriptorDatabase(channel)
    assert sorted(described.get_services()) == [HEALTH, REFLECTION, "inference.GRPCInferenceService"]
    pool = DescriptorPool(described)
    methods = {name: {*pool.FindServiceByName(name).methods_by_name} for name in described.get_services()}
    assert methods[HEALTH] == {"Check", "Watch"}
    assert methods[REFLECTION] == {"ServerReflectionInfo"}
    assert methods["inference.GRPCInferenceService"] > {"ModelInfer", "ModelMetadata", "ModelReady", "ServerReady"}


def test_health_and_reflection_leave_no_line_in_the_log(server: Predictor, channel: grpc.Channel) -> None:
    before = server.log.read_text()
    HealthStub(channel).Check(HealthCheckRequest(), timeout=20)
    assert HealthStub(channel).Check.future(HealthCheckRequest(service="another")).code().name == "NOT_FOUND"
    watch = HealthStub(channel).Watch(HealthCheckRequest())
    next(watch)
    watch.cancel()
    ProtoReflectionDescriptorDatabase(channel).get_services()
    assert channel.unary_unary("/grpc.health.v1.Health/Check").future(b"no message").code().name == "UNKNOWN"
    assert server.log.read_text() == before
