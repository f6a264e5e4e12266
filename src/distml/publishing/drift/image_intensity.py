"""The mean intensity of images, for the training set at publication and for requests when serving."""

import numpy as np

EDGES = np.arange(8.0, 256.0, 8.0)


def means(images: np.ndarray) -> np.ndarray:
    """Return the mean intensity, 0 to 255, of each image, uint8 [n, 28, 28, 1]."""
    pixels = images.reshape(len(images), -1)
    return pixels.sum(axis=1, dtype=np.uint32) / pixels.shape[1]


def histogram(intensities: np.ndarray) -> np.ndarray:
    """Count mean intensities, float [n].

    Returns:
        The counts, int64 [len(EDGES) + 1]. A bin includes its upper edge and excludes its lower one; the last bin is
        everything above the last edge.
    """
    return np.bincount(np.searchsorted(EDGES, intensities), minlength=len(EDGES) + 1)
