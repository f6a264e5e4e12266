"""The predictor's metrics at /metrics."""

import json
from pathlib import Path

import numpy as np

from distml.step.volume import Volume
from support.predictor_process import PREDICT, predictor


def test_requests_batches_and_intensities_are_counted(published_volume: Volume, tmp_path: Path) -> None:
    with predictor(published_volume, tmp_path / "log") as server:
        server.post(PREDICT, {"instances": [np.full((28, 28), 100).tolist()] * 2})
        server.post(PREDICT, b"")
        manifest = json.loads((published_volume.version(1) / "manifest.json").read_text())
        model = f'digest="{manifest["digest"]}",model="batchnorm",version="1"'
        expected = {
            'predictor_requests_total{outcome="ok",protocol="v1"}': 1,
            'predictor_requests_total{outcome="bad input",protocol="v1"}': 1,
            "predictor_requests_in_flight": 0,
            'request_preprocess_seconds_count{model_name="flower-sample"}': 1,
            'request_predict_seconds_count{model_name="flower-sample"}': 1,
            'request_postprocess_seconds_count{model_name="flower-sample"}': 1,
            "predictor_batch_images_sum": 2,
            'predictor_request_seconds_count{protocol="v1"}': 2,
            f"predictor_model_info{{{model}}}": 1,
            'predictor_release_stage{stage="released",version="1"}': 1,
            'predictor_releases_total{stage="released"}': 1,
            'predictor_image_intensity_bucket{le="96.0"}': 0,
            'predictor_image_intensity_bucket{le="104.0"}': 2,
            "predictor_image_intensity_sum": 200,
            "predictor_training_image_intensity_count": 55_000,
        }
        assert {name: server.metric(name) for name in expected} == expected
        assert [event["event"] for event in server.events()] == ["release", "version loaded", "serving"]
