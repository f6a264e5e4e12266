"""The evaluation of SavedModels, as they are exported and served, on the images of a split."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from distml.data.input_pipeline import Split
from distml.model import saved_model
from distml.publishing.selection.candidates import Candidate
from distml.publishing.selection.ranking import Evaluated
from distml.step.progress_bar import counting

IMAGES_PER_CALL = 500


def evaluate(candidates: Sequence[Candidate], split: Split) -> list[Evaluated]:
    """Load the candidates, one at a time, and return them with their predicted classes for the images of a split."""
    evaluated = []
    for candidate in candidates:
        model, _ = saved_model.load(candidate.folder)
        predicted = predict(model, split, candidate.name).argmax(axis=1)
        evaluated.append(Evaluated(candidate, predicted, predicted == split.labels))
    return evaluated


def predict(model: Any, split: Split, name: str) -> np.ndarray:
    """Run a split through the signature that servers call, and return the probabilities, float32 [n, 10].

    `name` is the model's name on the progress bar.
    """
    signature = model.signatures["serving_arrays"]
    parts = []
    with counting(f"evaluating {name}", len(split), "images") as bar:
        for start in range(0, len(split), IMAGES_PER_CALL):
            images = split.images[start : start + IMAGES_PER_CALL]
            parts.append(signature(images=images)["probabilities"].numpy())
            bar.advance(len(parts[-1]))
    return np.concatenate(parts)
