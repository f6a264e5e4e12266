"""The answers of a SavedModel about the images of a split."""

from pathlib import Path
from typing import Any

import numpy as np

from distml.data.input_pipeline import Split
from distml.model import saved_model
from distml.publishing import scores
from distml.step.progress_bar import counting

# Images per call of the model.
AT_ONCE = 500


def predict(model: Any, split: Split) -> np.ndarray:
    """Ask a loaded SavedModel, as a server would, about every image: probabilities, float32 [n, 10]."""
    ask = model.signatures["serving_arrays"]
    parts = []
    with counting("asking the model about images", len(split), "images") as bar:
        for at in range(0, len(split), AT_ONCE):
            parts.append(ask(images=split.images[at : at + AT_ONCE])["probabilities"].numpy())
            bar.advance(len(parts[-1]))
    return np.concatenate(parts)


def accuracy_of(model: Any, split: Split) -> float:
    """Ask a loaded SavedModel about every image; returns the share of right answers, 0 to 1."""
    return scores.accuracy(predict(model, split), split.labels)


def accuracy_of_version(folder: Path, split: Split) -> float:
    """Verify and load the SavedModel in `folder`, and ask it; returns the share of right answers, 0 to 1."""
    model, _ = saved_model.load(folder)
    return accuracy_of(model, split)
