"""Versions that a guarded predictor must release or reject, while requests keep arriving."""

import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from distml.protocol.contract import MODEL_NAME
from distml.publishing.versions import reference_images
from distml.publishing.versions.history import History
from distml.step.volume import Volume
from support import bad_versions
from support.load import RARE_EVERY, SENDERS, Load, body_of
from support.predictor_process import Predictor, predictor

# Shadow and probation each compare more than 20 batches in this time, so engine times decide in both.
SECONDS = 0.3
OPTIONS = ("--release", "guarded", "--poll-seconds", 0.1, "--shadow-seconds", SECONDS)
POISONED = np.zeros((28, 28), np.uint8)
POISONED[0, 0] = bad_versions.POISON


@pytest.fixture(scope="module")
def built(trained_volume: Volume, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the folder of a version of each kind; fewer reference images than usual save time."""
    folder = tmp_path_factory.mktemp("built")
    base = trained_volume.version(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reference_images, "IMAGES_PER_CLASS", 40)
        kinds = ("right", "wrong", "slow", "raising")
        built = {kind: bad_versions.build(trained_volume, kind, base, folder / kind) for kind in kinds}
    return {**built, "damaged": built["right"]}


class Service:
    """A guarded predictor that answers with version 1, and its volume."""

    def __init__(self, server: Predictor, volume: Volume, built: dict[str, Path]) -> None:
        self.server = server
        self._volume = volume
        self._built = built

    def offer(self, kind: str) -> int:
        """Offer a version of this kind; return its number."""
        return bad_versions.offer(self._volume, self._built[kind], damage=kind == "damaged")

    def stage(self, version: int) -> tuple[str, str]:
        """Return the stage that a version has reached, with the reason."""
        releases = self.server.get(f"/v1/models/{MODEL_NAME}")[1]["releases"]
        found = [(each["stage"], each["reason"]) for each in releases if each["version"] == str(version)]
        return found[0] if found else ("", "")

    def decision(self, version: int) -> tuple[str, str]:
        """Wait until a version is released or rejected; return which, with the reason."""
        self.wait_for(version, "released", "rejected")
        return self.stage(version)

    def wait_for(self, version: int, *stages: str) -> None:
        self.server.wait(lambda: self.stage(version)[0] in stages, f"{version} {' or '.join(stages)}")


@contextmanager
def service(volume: Volume, folder: Path, built: dict[str, Path], probation: float) -> Iterator[Service]:
    own = Volume(folder)
    shutil.copytree(volume.versions, own.versions)
    with predictor(own, folder / "log", *OPTIONS, "--probation-seconds", probation) as server:
        yield Service(server, own, built)
    recorded = [History(each.versions).records() for each in (own, volume)]
    assert recorded[0] == recorded[1], "a predictor decides nothing for others"


@pytest.fixture(scope="module")
def guarded(
    trained_volume: Volume, tmp_path_factory: pytest.TempPathFactory, built: dict[str, Path]
) -> Iterator[Service]:
    with service(trained_volume, tmp_path_factory.mktemp("guarded"), built, SECONDS) as running:
        yield running


@pytest.fixture
def on_long_probation(trained_volume: Volume, tmp_path: Path, built: dict[str, Path]) -> Iterator[Service]:
    with service(trained_volume, tmp_path, built, 60) as running:
        yield running


def answers_of(outcomes: Counter, version: int) -> int:
    """Return the number of answers by a version, and fail if a request failed."""
    assert {status for status, _ in outcomes} <= {200}, outcomes
    return sum(count for (_, number), count in outcomes.items() if number == str(version))


def test_twenty_right_versions_in_a_row_are_released(guarded: Service) -> None:
    with Load(guarded.server) as load:
        decisions = {version: guarded.decision(version)[0] for version in (guarded.offer("right") for _ in range(20))}
        load.wait_for(20)
    assert [*decisions.values()] == ["released"] * 20
    assert all(answers_of(load.outcomes, version) for version in decisions)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("wrong", "its accuracy on 400 reference images is "),
        ("slow", "its engine takes "),
        ("damaged", "model.tflite is damaged"),
    ],
)
def test_a_bad_version_is_rejected_before_it_answers(guarded: Service, kind: str, reason: str) -> None:
    with Load(guarded.server) as load:
        version = guarded.offer(kind)
        stage, why = guarded.decision(version)
        load.wait_for(20)
    assert stage == "rejected" and reason in why
    assert answers_of(load.outcomes, version) == 0


def test_a_version_that_fails_rarely_is_rejected_and_no_request_fails(on_long_probation: Service) -> None:
    with Load(on_long_probation.server, rare=body_of(POISONED)) as load:
        version = on_long_probation.offer("raising")
        stage, why = on_long_probation.decision(version)
        load.wait_for(20)
    assert stage == "rejected" and "gather index out of bounds" in why
    # The shadow may miss the few images on which it fails; then it answers at most until the next one.
    assert answers_of(load.outcomes, version) <= RARE_EVERY + SENDERS
    assert answers_of(load.rare_outcomes, version) == 0


def test_on_probation_a_failed_batch_is_answered_by_the_old_version(on_long_probation: Service) -> None:
    with Load(on_long_probation.server) as load:
        version = on_long_probation.offer("raising")
        on_long_probation.wait_for(version, "probation")
        load.wait_for(20)
        load.rare = body_of(POISONED)
        stage, why = on_long_probation.decision(version)
        load.wait_for(20)
    assert (stage, why.split(":")[0]) == ("rejected", "it failed on a batch during probation")
    assert answers_of(load.outcomes, version) > 0
    assert load.rare_outcomes.keys() == {(200, "1")}
