"""The configuration of the Kubernetes client, in a pod and outside."""

from pathlib import Path

import pytest
from kubernetes.config import incluster_config, kube_config

from distml.publishing.service import kubernetes_api
from distml.step import outcome


def message() -> str:
    with pytest.raises(outcome.StepError) as failed:
        kubernetes_api.configure()
    return str(failed.value)


def test_a_pod_without_a_service_account_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    assert message() == (
        "no cluster: this pod has no token of a service account (Service token file does not exist); run this in a pod"
        " with such an account, as those of workflow.yaml's steps"
    )


def test_a_machine_without_a_cluster_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config"))
    assert message() == (
        "no cluster: Invalid kube-config file. No configuration found; run this in a pod, or set KUBECONFIG"
    )
