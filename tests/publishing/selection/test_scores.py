"""The scores of predictions."""

import numpy as np

from distml.publishing.selection import scores


def test_rows_of_the_confusion_matrix_are_the_true_classes() -> None:
    labels, predicted = np.array([0, 0, 0, 2]), np.array([0, 1, 1, 2])
    assert scores.confusion_matrix(labels, predicted, 3).tolist() == [[1, 2, 0], [0, 0, 0], [0, 0, 1]]


def test_precision_divides_by_predicted_and_recall_by_true_images() -> None:
    assert scores.by_class(np.array([[3, 1], [0, 4]]), ["a", "b"]) == {
        "a": {"precision": 1.0, "recall": 0.75, "f1": 6 / 7},
        "b": {"precision": 0.8, "recall": 1.0, "f1": 8 / 9},
    }
