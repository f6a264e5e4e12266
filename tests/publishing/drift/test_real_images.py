"""Drift of real images and a real version: what is found, how soon, and how often the check is wrong.

The version is `trained_volume`'s; its reference was published from the validation images, and the requests here come
from the test images.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image, ImageFilter

from distml.data import input_pipeline
from distml.model import manifest
from distml.model.lite_engine import LiteEngine
from distml.publishing.drift import features, image_intensity, look
from distml.publishing.drift.features import Counts
from distml.publishing.versions.version_files import LITE_MODEL
from distml.serving.monitoring.drift_window import BLOCKS_OF_WINDOW, IMAGES_OF_BLOCK
from distml.step.volume import Volume


class Classified(NamedTuple):
    """Mean intensities and probabilities of some images."""

    intensities: np.ndarray
    probabilities: np.ndarray

    def blocks(self, seed: int) -> list[Counts]:
        """Count the images in random order, in blocks as the predictor does."""
        order = np.random.default_rng(seed).permutation(len(self.intensities))
        parts = np.split(order, range(IMAGES_OF_BLOCK, len(order), IMAGES_OF_BLOCK))
        return [features.count(self.intensities[part], self.probabilities[part]) for part in parts]


class Published(NamedTuple):
    """A version's engine and reference, and the test images with their labels."""

    engine: LiteEngine
    reference: Counts
    images: np.ndarray
    labels: np.ndarray

    def classify(self, images: np.ndarray) -> Classified:
        return Classified(image_intensity.means(images), self.engine(images))

    def drifted(self, blocks: list[Counts]) -> bool:
        """Look at the window after these blocks."""
        window = sum(blocks[-BLOCKS_OF_WINDOW:], start=features.nothing(10))
        return look.look(1, "", self.reference, window, len(blocks)).drifted


@pytest.fixture(scope="module")
def published(trained_volume: Volume) -> Published:
    folder = trained_volume.version(1)
    reference = features.from_manifest(manifest.verified(folder), classes=10)
    assert reference is not None and reference.images == 5000
    test = input_pipeline.load(trained_volume, "test")
    return Published(LiteEngine(folder / LITE_MODEL), reference, test.images, test.labels)


def blurred(images: np.ndarray) -> np.ndarray:
    """Blur images by a Gaussian of one pixel."""
    blur = ImageFilter.GaussianBlur(1)
    return np.stack([np.array(Image.fromarray(image[..., 0]).filter(blur)) for image in images])[..., None]


SHIFTS: dict[str, Callable[[Published], np.ndarray]] = {
    "inverted": lambda published: 255 - published.images[:2000],
    "blurred": lambda published: blurred(published.images[:2000]),
    "one class missing": lambda published: published.images[published.labels != 3][:2000],
}


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("blocks_before", [0, 20])
def test_a_shift_is_found_within_2000_requests(published: Published, shift: str, blocks_before: int) -> None:
    blocks = published.classify(published.images[-2000:]).blocks(seed=1)[:blocks_before]
    assert not published.drifted(blocks)
    shifted = published.classify(SHIFTS[shift](published)).blocks(seed=2)
    found = [published.drifted([*blocks, *shifted[:count]]) for count in range(1, 21)]
    assert found[-1], found


def test_1000_windows_of_clean_images_give_at_most_10_false_alarms(published: Published) -> None:
    """Look at 40 windows in each of 25 random orders of the 10,000 test images.

    Windows of one order that follow each other share all blocks but one; windows of two orders share images by chance.
    """
    clean = published.classify(published.images)
    alarms = looks = 0
    for seed in range(25):
        blocks = clean.blocks(seed)
        for count in range(look.FEWEST_BLOCKS, look.FEWEST_BLOCKS + 40):
            alarms += published.drifted(blocks[:count])
            looks += 1
    assert looks == 1000 and alarms <= 10
