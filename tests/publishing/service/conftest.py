"""Fixtures: replicas on loopback, an API server that lists them, and a volume with two versions without a model."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from distml.model import manifest
from distml.publishing.service import kubernetes_api, replicas
from distml.publishing.versions import decisions
from distml.step.volume import Volume
from support.replicas import Api, Replica


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    found = Api()
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(kubernetes_api.config, "load_kube_config", lambda: None)
    monkeypatch.setattr(replicas.client, "CustomObjectsApi", lambda: found)
    return found


@pytest.fixture
def start() -> Iterator[Callable[..., Replica]]:
    """Return a function that starts a replica."""
    running = []

    def run(*statuses: object, **options: Any) -> Replica:
        replica = Replica(*statuses, **options)
        threading.Thread(target=replica.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        running.append(replica)
        return replica

    yield run
    for replica in running:
        replica.shutdown()
        replica.server_close()


@pytest.fixture
def two_versions(tmp_path: Path) -> Volume:
    """Return a volume with versions 1 and 2; version 1 is released."""
    volume = Volume(tmp_path)
    for number in (1, 2):
        volume.version(number).mkdir(parents=True)
        (volume.version(number) / "saved_model.pb").write_text(f"model {number}")
        manifest.write(volume.version(number), {"model": "plain"})
        if number == 1:
            decisions.release(volume, 1, "")
    return volume
