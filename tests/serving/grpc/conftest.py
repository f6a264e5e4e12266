"""Fixture: a channel to the running predictor."""

from collections.abc import Iterator

import grpc
import pytest

from support.predictor_process import Predictor


@pytest.fixture
def channel(server: Predictor) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        yield channel
