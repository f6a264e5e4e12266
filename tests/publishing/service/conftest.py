"""Fixtures: replicas on loopback, an API server that lists them, and a volume with two versions without a model."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from distml.model import manifest
from distml.publishing.service import kubernetes_api, replicas
from distml.publishing.versions import decisions
from distml.step.volume import Volume
from support.local_server import running
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
    with contextlib.ExitStack() as stack:
        yield lambda *statuses, **options: stack.enter_context(running(Replica(*statuses, **options)))


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
