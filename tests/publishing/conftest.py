"""Fixtures: replicas on loopback, and an API server that lists them."""

import contextlib
from collections.abc import Callable, Iterator

import pytest

from distml.publishing.service import kubernetes_api, replicas
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
