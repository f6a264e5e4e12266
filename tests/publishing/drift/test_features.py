"""The features of images, and their counts in a version's manifest."""

from typing import Any

import numpy as np
import pytest

from distml.publishing.drift import features, image_intensity
from distml.publishing.drift.features import CLASS, CONFIDENCE, INTENSITY, Counts

IMAGES = np.concatenate([np.full((1, 28, 28, 1), value, np.uint8) for value in (0, 8, 9, 255)])
PROBABILITIES = np.array([[1, 0, 0], [0.2, 0.5, 0.3], [0.1, 0.15, 0.75], [0, 0.995, 0.005]], np.float32)


def some() -> Counts:
    return features.count(image_intensity.means(IMAGES), PROBABILITIES)


def manifest(**changes: Any) -> dict[str, Any]:
    entry = features.to_manifest(some())["drift_reference"]
    return {"drift_reference": entry | changes}


def test_images_are_counted_by_intensity_class_and_confidence() -> None:
    assert some().to_json() == {
        INTENSITY: [2, 1, *[0] * 28, 0, 1],
        CLASS: [1, 2, 1],
        CONFIDENCE: [0, 0, 1, 0, 0, 1, 0, 0, 0, 2],
    }


def test_two_counts_add_up_and_nothing_changes_nothing() -> None:
    assert (some() + some()).bins[CLASS].tolist() == [2, 4, 2]
    assert ((features.nothing(3) + some()).to_json(), features.nothing(3).images) == (some().to_json(), 0)


def test_counts_survive_the_manifest() -> None:
    found = features.from_manifest(manifest(), classes=3)
    assert found is not None and found.to_json() == some().to_json() and found.images == 4


@pytest.mark.parametrize(
    "damaged",
    [
        {},
        {"drift_reference": None},
        manifest(edges={}),
        manifest(counts={}),
        manifest(counts=[]),
        manifest(counts=some().to_json() | {CLASS: [4, 0]}),
        manifest(counts=some().to_json() | {CLASS: [1, 2, 2]}),
        manifest(counts=some().to_json() | {CLASS: ["a", 0, 0]}),
        manifest(counts=some().to_json() | {CLASS: [5, 0, -1]}),
        manifest(counts=some().to_json() | {CLASS: [10**30, 0, 0]}),
        manifest(counts=features.nothing(3).to_json()),
    ],
)
def test_a_manifest_without_usable_counts_has_none(damaged: dict[str, Any]) -> None:
    assert features.from_manifest(damaged, classes=3) is None
