"""The window of the newest images that a version classified."""

from collections import deque

import numpy as np

from distml.publishing.drift import features, image_intensity
from distml.publishing.drift.look import Look, look
from distml.serving.release.served_version import ServedVersion

# Images are counted when a block is complete: counting each batch by itself takes several times as long.
IMAGES_OF_BLOCK = 100
BLOCKS_OF_WINDOW = 20


class DriftWindow:
    """The newest complete blocks of images that `version` classified, and the mean intensities of all of them.

    All methods are for the event loop.
    """

    def __init__(self, version: ServedVersion):
        self.version = version
        classes = len(version.class_names)
        self._reference = features.from_manifest(version.manifest, classes)
        self._nothing = features.nothing(classes)
        self._blocks: deque[features.Counts] = deque(maxlen=BLOCKS_OF_WINDOW)
        self._completed = 0
        # Of all complete blocks, also of those that have left the window.
        self._histogram = image_intensity.histogram(np.empty(0))
        self._sum = 0.0
        self._begin_block()

    def observe(self, images: np.ndarray, probabilities: np.ndarray) -> None:
        """Keep a batch, uint8 [n, 28, 28, 1], with its probabilities, float32 [n, classes], until it is counted."""
        # A copy, because a view would keep the body of its request in memory.
        self._images.append(images.copy())
        self._probabilities.append(probabilities)
        self._pending += len(images)
        if self._pending >= IMAGES_OF_BLOCK:
            means = image_intensity.means(np.concatenate(self._images))
            block = features.count(means, np.concatenate(self._probabilities))
            self._blocks.append(block)
            self._completed += 1
            self._histogram = self._histogram + block.bins[features.INTENSITY]
            self._sum += float(means.sum())
            self._begin_block()

    def look(self) -> Look:
        """Compare the window with the version's reference."""
        window = sum(self._blocks, start=self._nothing)
        return look(self.version.number, self.version.manifest["digest"], self._reference, window, self._completed)

    def intensities(self) -> tuple[np.ndarray, float]:
        """Return the histogram of the mean intensities of all images, and their sum."""
        if not self._images:
            return self._histogram, self._sum
        means = image_intensity.means(np.concatenate(self._images))
        return self._histogram + image_intensity.histogram(means), self._sum + float(means.sum())

    def _begin_block(self) -> None:
        self._images: list[np.ndarray] = []
        self._probabilities: list[np.ndarray] = []
        self._pending = 0
