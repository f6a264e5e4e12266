"""The scores of predictions: accuracy, the confusion matrix, precision, recall and F1 by class."""

import numpy as np


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of right answers, 0 to 1, for probabilities, float32 [n, 10], and labels, int64 [n]."""
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return the numbers of images, int64 [classes, classes]: rows are true classes, columns are predicted ones."""
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def by_class(confusion: np.ndarray, class_names: list[str]) -> dict[str, dict[str, float]]:
    """Return precision, recall and F1 (0 to 1) by class; 0 when the denominator is 0."""
    right = confusion.diagonal()
    predicted, present = confusion.sum(axis=0), confusion.sum(axis=1)
    scores = {
        "precision": right / np.maximum(predicted, 1),
        "recall": right / np.maximum(present, 1),
        "f1": 2 * right / np.maximum(predicted + present, 1),
    }
    return {
        name: {score: float(values[label]) for score, values in scores.items()}
        for label, name in enumerate(class_names)
    }
