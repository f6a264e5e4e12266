"""A running Prometheus without its operator: it scrapes a real predictor, and raises the alerts of the rules."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from distml.step.volume import Volume
from support.predictor_process import PREDICT, Predictor, free_port, predictor
from support.programs import program_or_skip
from support.yaml_files import load

# The labels that docs/cluster.md asks for.
LABELS = {"namespace": "kubeflow", "service": "flower-sample"}
EVERY_SECOND = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}


class Prometheus:
    """A Prometheus on loopback that scrapes one predictor every second."""

    def __init__(self, target: Predictor, folder: Path) -> None:
        targets = [{"targets": [f"127.0.0.1:{target.http_port}"], "labels": LABELS}]
        scraped = {"job_name": "kubeflow/predictors", "static_configs": targets}
        (folder / "rules.yaml").write_text(yaml.safe_dump(load("manifests/monitoring/prometheus-rule.yaml")["spec"]))
        config = {"global": EVERY_SECOND, "rule_files": ["rules.yaml"], "scrape_configs": [scraped]}
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        self.address, self.log = f"127.0.0.1:{free_port()}", folder / "prometheus.log"
        options: dict[str, object] = {"config.file": folder / "prometheus.yaml", "storage.tsdb.path": folder / "data"}
        options["web.listen-address"] = self.address
        command = [program_or_skip("prometheus", "prometheus"), *(f"--{name}={to}" for name, to in options.items())]
        with self.log.open("w") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output)

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://{self.address}/api/v1/{path}", timeout=10) as answer:
            return json.load(answer)["data"]

    def alerts(self) -> set[tuple[str, str, str]]:
        """Return the name, the state and the service of each alert."""
        found = self.get("alerts")["alerts"]
        return {(one["labels"]["alertname"], one["state"], one["labels"]["service"]) for one in found}

    def scrapes(self) -> bool:
        return [one["value"][1] for one in self.get("query?query=up")["result"]] == ["1"]

    def wait(self, what: str, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                if condition():
                    return
            except OSError:  # it still starts
                assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.2)
        raise AssertionError(f"not {what} within a minute:\n{self.log.read_text()}")


@pytest.fixture
def server(published_volume: Volume, tmp_path: Path) -> Iterator[Predictor]:
    with predictor(published_volume, tmp_path / "log") as running:
        yield running


@pytest.fixture
def prometheus(server: Predictor, tmp_path: Path) -> Iterator[Prometheus]:
    running = Prometheus(server, tmp_path)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()


def test_a_running_prometheus_raises_the_alerts(server: Predictor, prometheus: Prometheus) -> None:
    prometheus.wait("scraping the predictor", prometheus.scrapes)
    assert prometheus.alerts() == set()
    for _ in range(5):  # the metric of drift needs five blocks
        server.post(PREDICT, {"instances": np.zeros((100, 28, 28), int).tolist()})
    drifted = ("RequestsDrifted", "firing", "flower-sample")
    prometheus.wait("drifted", lambda: prometheus.alerts() == {drifted})
    server.process.kill()
    down = ("PredictorDown", "pending", "flower-sample")  # for its first five minutes
    prometheus.wait("down", lambda: prometheus.alerts() == {drifted, down})
