"""The predictor's metrics that the rules of manifests/monitoring use."""

import re
from pathlib import Path

import numpy as np

from distml.step.volume import Volume
from support.predictor_process import PREDICT, predictor
from support.project import ROOT

RULES = (ROOT / "manifests/monitoring/prometheus-rule.yaml").read_text()
USED = set(re.findall(r"\b(?:predictor|request)_\w+", RULES))
# Prometheus sees no increase in the first value of a counter.
FROM_THE_START = {
    *('predictor_requests_total{outcome="failed",protocol="v1"} 0.0', 'predictor_releases_total{stage="rejected"} 0.0'),
    'predictor_requests_total{outcome="overloaded",protocol="grpc"} 0.0',
    'request_predict_seconds_bucket{le="0.25",model_name="flower-sample"} 0.0',
}


def test_a_predictor_has_the_metrics_of_the_alerts(published_volume: Volume, tmp_path: Path) -> None:
    with predictor(published_volume, tmp_path / "log") as server:
        new = set(server.get("/metrics")[1].splitlines())
        # The metric of drift needs five blocks of images.
        for _ in range(5):
            server.post(PREDICT, {"instances": np.zeros((100, 28, 28), int).tolist()})
        names = {re.split("[{ ]", line)[0] for line in server.get("/metrics")[1].splitlines()}
    assert len(USED) == 7
    assert USED - names == set()
    assert FROM_THE_START - new == set()
