"""Selection, prediction and copying models with `kubectl exec` and `kubectl cp`, as in README."""

import json
import re
import urllib.request
from pathlib import Path

import pytest

from cluster.kube import execute, forwarded, kubectl, run

pytestmark = pytest.mark.cluster


def test_kubectl_exec_selects_publishes_and_predicts(trained: str) -> None:
    selected = execute("predict-service", "python3", "/model-selection.py", "--accuracy-floor=0.6")
    assert "batchnorm has the best validation accuracy" in selected
    assert "published as version 1\n" in selected
    assert "/trained_model/saved_model_versions/1" in selected
    again = execute("predict-service", "python3", "/model-selection.py", "--accuracy-floor=0.6")
    assert "already published as version 1; its files verify" in again
    predicted = execute("predict-service", "python3", "/predict-service.py")
    assert predicted.startswith("version 1 answers: batchnorm, digest ")
    assert re.search(r"^([5-9]|10) of 10 right", predicted, re.MULTILINE)
    assert execute("access-model", "ls", "/trained_model/saved_model_versions").split() == ["1"]


def test_a_winner_below_the_floor_exits_with_3(trained: str) -> None:
    refused = run("exec", "predict-service", "--", "python3", "/model-selection.py", "--accuracy-floor=1")
    assert refused.returncode == 3
    assert "is below the floor 1" in refused.stderr


def test_kubectl_cp_copies_a_model_out_of_the_volume_and_back(trained: str, tmp_path: Path) -> None:
    candidate = f"/trained_model/runs/{trained}/candidates/batchnorm-seed1"
    kubectl("cp", f"access-model:{candidate}", str(tmp_path / "model"))
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text())
    assert manifest["model"] == "batchnorm"
    assert {path.name for path in (tmp_path / "model").iterdir()} >= {"saved_model.pb", "variables", "manifest.json"}
    kubectl("cp", str(tmp_path / "model"), "access-model:/trained_model/copied")
    assert "copied" in execute("access-model", "ls", "/trained_model").split()
    execute("access-model", "diff", "--recursive", candidate, "/trained_model/copied")
    execute("access-model", "rm", "-r", "/trained_model/copied")


def test_the_dashboard_shows_curves_and_reports_to_its_user_only(trained: str) -> None:
    kubectl("create", "--filename=tensorboard.yaml")
    kubectl("wait", "--for=condition=Ready", "pod/tensorboard", "--timeout=3m", timeout=200)
    links = re.findall('<a href="(/runs/.+/report/)">', page_of_dashboard(6007, "/"))
    assert len(links) == 1  # only one run has been published
    assert "<title>Fashion-MNIST model, version 1: " in page_of_dashboard(6007, links[0])
    assert f"{trained}/logs/batchnorm-seed1" in json.loads(page_of_dashboard(6006, "/data/runs"))
    address = kubectl("get", "pod", "tensorboard", "--output=jsonpath={.status.podIP}")
    code = f"import socket; print([socket.socket().connect_ex(('{address}', port)) for port in (6006, 6007)])"
    assert execute("access-model", "python3", "-c", code) == "[111, 111]\n"  # connection refused
    kubectl("delete", "pod", "tensorboard")


def page_of_dashboard(port: int, path: str) -> str:
    with (
        forwarded("pod/tensorboard", port) as here,
        urllib.request.urlopen(f"http://127.0.0.1:{here}{path}", timeout=30) as answer,
    ):
        return answer.read().decode()
