"""20,000 requests, most of them hostile, from a few concurrent clients to one predictor."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from distml.step.volume import Volume
from support.hostile.traffic import Traffic, kinds, summary
from support.predictor_process import PREDICT, READY, Predictor, predictor
from support.predictor_requests import IMAGES, Ask

pytestmark = pytest.mark.hostile
SEED = 16


@pytest.fixture
def target(published_volume: Volume, tmp_path: Path) -> Iterator[Predictor]:
    with predictor(published_volume, tmp_path / "log") as running:
        yield running


@pytest.mark.timeout(900)
def test_hostile_requests_neither_harm_nor_stop_the_predictor(
    target: Predictor, saved: Ask, capsys: pytest.CaptureFixture[str]
) -> None:
    classes = saved(IMAGES).argmax(axis=1).tolist()
    all_kinds = kinds(classes)
    assert sum(kind.number for kind in all_kinds) == 20_000
    traffic = Traffic(all_kinds, SEED)
    memory = traffic.send_all(target)
    with capsys.disabled():
        print(f"\n{summary(traffic.outcomes)}\nlargest resident memory: {max(memory):.0f} MiB")
    assert not traffic.faults, "\n".join(traffic.faults)
    assert traffic.ended == {kind.name: kind.number for kind in all_kinds}
    target.wait(lambda: target.metric("predictor_requests_in_flight") == 0, "idle")
    assert max(memory) < 400
    assert target.get(READY) == (200, {"name": "flower-sample", "ready": True})
    status, answer = target.post(PREDICT, {"instances": IMAGES.tolist()})
    assert (status, [row["class_index"] for row in answer["predictions"]]) == (200, classes)
    assert [
        event for event in target.events() if event["level"] not in ("info", "warning") or "exception" in event
    ] == []
    assert "Traceback" not in json.dumps(target.events())
