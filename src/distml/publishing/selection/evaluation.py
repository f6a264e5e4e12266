"""The evaluation of a SavedModel on the images of a split."""

from pathlib import Path
from typing import Any

import numpy as np

from distml.data.input_pipeline import Split
from distml.model import saved_model
from distml.publishing.selection import scores
from distml.step.progress_bar import counting

IMAGES_PER_CALL = 500


def predict(model: Any, split: Split) -> np.ndarray:
    """Run a split through the signature that servers call, and return the probabilities, float32 [n, 10]."""
    signature = model.signatures["serving_arrays"]
    parts = []
    with counting("evaluating the model", len(split), "images") as bar:
        for start in range(0, len(split), IMAGES_PER_CALL):
            images = split.images[start : start + IMAGES_PER_CALL]
            parts.append(signature(images=images)["probabilities"].numpy())
            bar.advance(len(parts[-1]))
    return np.concatenate(parts)


def accuracy_of(model: Any, split: Split) -> float:
    """Return a loaded SavedModel's accuracy on a split: the share of right answers, 0 to 1."""
    return scores.accuracy(predict(model, split), split.labels)


def accuracy_of_version(folder: Path, split: Split) -> float:
    """Verify and load the SavedModel in `folder`, and return its accuracy on a split, 0 to 1."""
    model, _ = saved_model.load(folder)
    return accuracy_of(model, split)
