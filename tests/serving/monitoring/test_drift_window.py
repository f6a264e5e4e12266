"""The predictor's window of the newest images, and what it tells about their drift."""

import asyncio
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from distml.data import input_pipeline
from distml.model import manifest as model_manifest
from distml.publishing.drift.features import FEATURES
from distml.serving.batching import Batcher
from distml.serving.monitoring import metrics
from distml.serving.monitoring.drift_window import DriftWindow
from distml.step.volume import Volume
from support.fake_versions import IMAGES, POISON, broken_by_poison, right, version
from support.predictor_process import PREDICT, predictor

DRIFT = "/v1/models/flower-sample/drift"


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> metrics.Images:
    """Return the distributions of a predictor of this test alone."""
    own = metrics.Images()
    monkeypatch.setattr(metrics, "IMAGES", own)
    return own


def sizes(window: DriftWindow) -> tuple[int, int]:
    """Return the number of complete blocks, and of the images in the window."""
    look = window.look()
    return look.blocks, look.window.images


def observe(window: DriftWindow, *batches: int) -> None:
    for count in batches:
        window.observe(IMAGES[:count], right(IMAGES[:count]))


def test_a_block_is_counted_once_it_has_100_images() -> None:
    window = DriftWindow(version(1, right))
    observe(window, 99)
    assert sizes(window) == (0, 0)
    observe(window, 64)
    assert sizes(window) == (1, 163)
    observe(window, 256, 1)
    assert sizes(window) == (2, 419)


def test_the_window_has_the_last_20_blocks() -> None:
    window = DriftWindow(version(1, right))
    observe(window, 256, *[100] * 20)
    assert sizes(window) == (21, 2000)
    assert window.look().window.bins["class"].tolist() == [200] * 10


def test_a_block_keeps_no_view_of_a_requests_body() -> None:
    window, body = DriftWindow(version(1, right)), np.zeros((50, 28, 28, 1), np.uint8)
    window.observe(body, right(body))
    body[:] = 255
    window.observe(body, right(IMAGES[:50]))
    assert window.look().window.bins["intensity"].tolist() == [50, *[0] * 30, 50]


def test_the_intensities_of_all_images_are_counted_at_any_time(images: metrics.Images) -> None:
    first, second = version(1, right), version(2, right)
    second.manifest["training_intensity"] = {"counts": [0] * 32, "sum": 0}
    white = np.full((250, 28, 28, 1), 255, np.uint8)
    images.begin(first)
    images.observe(first, white[:90], right(IMAGES[:90]))
    images.begin(second)
    for answering, count in ((second, 250), (second, 7), (first, 30)):
        images.observe(answering, white[:count], right(IMAGES[:count]))
    incoming, *_ = images.collect()
    totals = {sample.name: sample.value for sample in incoming.samples}  # the last bucket is +Inf
    assert totals == {
        "predictor_image_intensity_bucket": 377,
        "predictor_image_intensity_count": 377,
        "predictor_image_intensity_sum": 377 * 255,
    }


def test_late_batches_of_the_old_version_stay_out_of_the_window(images: metrics.Images) -> None:
    first, second = version(1, right), version(2, right)
    images.begin(first)
    window = images.begin(second)
    images.observe(first, IMAGES[:150], right(IMAGES[:150]))
    assert sizes(window) == (0, 0)
    images.observe(second, IMAGES[:150], right(IMAGES[:150]))
    assert sizes(window) == (1, 150)


def test_the_images_of_a_failed_batch_are_not_counted(images: metrics.Images) -> None:
    answering = version(1, broken_by_poison)
    window = images.begin(answering)

    async def ask() -> None:
        batcher = Batcher(answering)
        await batcher.classify(IMAGES[:4])
        with pytest.raises(RuntimeError):
            await batcher.classify(POISON)

    asyncio.run(ask())
    assert window.intensities()[0].sum() == 4


def test_inverted_images_drift_in_the_answer_and_in_the_metrics(
    published_volume: Volume, volume_with_data: Volume, tmp_path: Path
) -> None:
    inverted = 255 - input_pipeline.load(volume_with_data, "test").images[:500, ..., 0]
    with predictor(published_volume, tmp_path / "log") as server:
        assert server.metric('predictor_drift_p_value{feature="intensity"}') == 0
        for part in np.split(inverted, 5):
            assert not server.get(DRIFT)[1]["drifted"]
            server.post(PREDICT, {"instances": part.tolist()})
        answer = server.get(DRIFT)[1]
        assert (answer["version"], answer["blocks"], answer["images"], answer["drifted"]) == ("1", 5, 500, True)
        figures = {
            name: {feature: server.metric(f'predictor_drift_{name}{{feature="{feature}"}}') for feature in FEATURES}
            for name in ("distance", "p_value")
        }
        assert answer["features"] == {
            feature: {name: values[feature] for name, values in figures.items()} for feature in FEATURES
        }
        assert server.metric("predictor_drift_window_images") == 500


def test_a_version_of_an_older_release_is_served_without_drift(published_volume: Volume, tmp_path: Path) -> None:
    folder = Volume(tmp_path).version(1)
    shutil.copytree(published_volume.version(1), folder)
    facts = json.loads((folder / "manifest.json").read_text())
    model_manifest.write(folder, {key: value for key, value in facts.items() if not key.startswith("drift")})
    with predictor(tmp_path, tmp_path / "log") as server:
        answer = server.get(DRIFT)[1]
        assert (answer["reference"], answer["features"], answer["drifted"]) == (None, {}, False)
        assert answer["text"] == (
            "version 1 has no drift_reference with this release's bins in its manifest; publish again"
        )
        assert "predictor_drift" not in server.get("/metrics")[1]
