"""A worker's wait for its peers, over IPv4 and IPv6."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from distml.step import network
from distml.training.group import worker
from distml.training.group.tf_config import WorkerGroup
from support.network import needs_ipv6


@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("[::1]", marks=needs_ipv6), "localhost"])
def test_two_workers_find_each_other_by_any_address(host: str) -> None:
    ports = [int(address.rpartition(":")[2]) for address in network.free_addresses(2)]
    both_arrived = threading.Barrier(2, timeout=30)

    def start(index: int) -> int:
        worker.wait_for_peers(WorkerGroup(tuple(f"{host}:{port}" for port in ports), index))
        with network.listen(ports[index]):  # as TensorFlow does next
            return both_arrived.wait()

    with ThreadPoolExecutor(2) as workers:
        assert sorted(workers.map(start, range(2), timeout=30)) == [0, 1]
