"""The decision whether a workflow trains. A stand-in asks the replicas."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distml.administration import retraining
from distml.administration.retraining import Decision
from distml.data.fashion_mnist import FACTS, MANIFEST
from distml.publishing.drift import features, service_drift
from distml.publishing.drift.look import Look
from distml.publishing.versions.history import Event, History
from distml.step import outcome
from distml.step.volume import Volume

WINDOW = features.nothing(classes=10)
CALM = Look(2, "digest", WINDOW, WINDOW, blocks=6, replicas=1, features=[], drifted=False, text="no drift, p 0.4")
DRIFT = replace(CALM, drifted=True, text="drift, p 1e-9")
Answer = Callable[[Look | outcome.StepError], list[tuple[str, str]]]


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    """Return a volume with the data set's manifest and two versions trained on it."""
    volume = Volume(tmp_path)
    volume.dataset.mkdir(parents=True)
    (volume.dataset / MANIFEST).write_text(json.dumps({**FACTS, "files": {}}))
    for number in (1, 2):
        publish(volume, number, FACTS["data_sha256"])
    return volume


def publish(volume: Volume, number: int, data_sha256: str | None) -> None:
    volume.version(number).mkdir(parents=True)
    History(volume.versions).append(Event.PUBLISHED, number, data_sha256=data_sha256)


@pytest.fixture
def new_data(volume: Volume, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the volume another data set; return its hash."""
    data = "feedfacecafe" * 5
    monkeypatch.setitem(FACTS, "data_sha256", data)
    (volume.dataset / MANIFEST).write_text(json.dumps({**FACTS, "files": {}}))
    return data


def decide(volume: Volume) -> Decision:
    return retraining.decide(volume, "fashion", "kubeflow")


@pytest.fixture
def replicas_answer(monkeypatch: pytest.MonkeyPatch) -> Answer:
    """Return a function that lets the replicas give an answer, and returns the list of the services asked."""

    def set_answer(answer: Look | outcome.StepError) -> list[tuple[str, str]]:
        asked = []

        def look(service: str, namespace: str) -> Look:
            asked.append((service, namespace))
            if isinstance(answer, outcome.StepError):
                raise answer
            return answer

        monkeypatch.setattr(service_drift, "look", look)
        return asked

    return set_answer


def test_nothing_new_and_no_drift_train_nothing(volume: Volume, replicas_answer: Answer) -> None:
    asked = replicas_answer(CALM)
    assert decide(volume) == Decision(False, "version 2 was trained on the volume's data set; no drift, p 0.4")
    assert asked == [("fashion", "kubeflow")]


def test_images_that_have_drifted_train(volume: Volume, replicas_answer: Answer) -> None:
    replicas_answer(DRIFT)
    assert decide(volume) == Decision(True, "drift, p 1e-9")


def test_a_version_without_a_reference_trains(volume: Volume, replicas_answer: Answer) -> None:
    replicas_answer(service_drift.NoReference("version 2 has no reference"))
    assert decide(volume) == Decision(True, "version 2 has no reference")


def test_replicas_that_do_not_answer_fail_the_decision(volume: Volume, replicas_answer: Answer) -> None:
    replicas_answer(service_drift.Unanswered("no replica answers"))
    with pytest.raises(outcome.StepError, match=r"^no replica answers$") as raised:
        decide(volume)
    assert raised.value.exit_status == 1


def test_a_volume_without_versions_trains(volume: Volume) -> None:
    assert retraining.decide(Volume(volume.root / "new"), "fashion", "kubeflow") == Decision(
        True, "no version is published"
    )


def test_a_volume_whose_only_version_is_withdrawn_trains(volume: Volume) -> None:
    for number in (1, 2):
        History(volume.versions).append(Event.WITHDRAWN, number)
    assert decide(volume) == Decision(True, "no version is published")


@pytest.mark.usefixtures("new_data")
def test_data_that_no_version_was_trained_on_train(volume: Volume) -> None:
    assert decide(volume) == Decision(True, "the data set feedfacecafe is new: version 2 was trained on 1e8ce87441e8")


@pytest.mark.parametrize(
    ("event", "version", "facts", "how"),
    [
        (Event.WITHDRAWN, 3, {}, "withdrawn"),
        (Event.REJECTED, 3, {}, "rejected"),
        (Event.ROLLED_BACK, 2, {"withdrawn": [3]}, "withdrawn by a roll-back"),
    ],
)
def test_data_whose_only_version_is_withdrawn_train_nothing(
    volume: Volume,
    replicas_answer: Answer,
    new_data: str,
    event: Event,
    version: int,
    facts: dict[str, Any],
    how: str,
) -> None:
    publish(volume, 3, new_data)
    record = History(volume.versions).append(event, version, "worse", **facts)
    assert record is not None
    replicas_answer(CALM)
    assert decide(volume) == Decision(
        False, f"version 3 was trained on the volume's data set, and {how} at {record.time}: worse; no drift, p 0.4"
    )
    replicas_answer(DRIFT)
    assert decide(volume) == Decision(True, "drift, p 1e-9")


def test_the_reason_names_a_version_that_is_not_withdrawn(volume: Volume, replicas_answer: Answer) -> None:
    publish(volume, 3, FACTS["data_sha256"])
    History(volume.versions).append(Event.WITHDRAWN, 3)
    replicas_answer(CALM)
    assert decide(volume) == Decision(False, "version 2 was trained on the volume's data set; no drift, p 0.4")


@pytest.mark.usefixtures("new_data")
@pytest.mark.parametrize("recorded", [True, False])
def test_a_version_without_a_record_of_its_data_trains(volume: Volume, recorded: bool) -> None:
    if recorded:
        publish(volume, 3, None)
    else:
        volume.version(3).mkdir()
    assert decide(volume) == Decision(True, "version 3 has no record of its data")


def test_a_missing_data_set_trains(volume: Volume) -> None:
    shutil.rmtree(volume.dataset)
    assert decide(volume) == Decision(
        True, f"the data set must be ingested again: no data set in {volume.dataset}; run data ingestion first"
    )


def test_a_damaged_data_set_trains(volume: Volume) -> None:
    (volume.dataset / MANIFEST).write_text("{}")
    assert decide(volume).reason.startswith(
        f"the data set must be ingested again: {volume.dataset / MANIFEST} is damaged; "
    )
