"""The ranking of a run's models by their validation accuracy."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from distml.publishing.selection import certainty
from distml.publishing.selection.candidates import Candidate


class Evaluated(NamedTuple):
    """A candidate with the classes that it predicts for the validation images.

    Attributes:
        candidate: the candidate.
        predicted: the predicted classes, int64 [n].
        right: whether each prediction is right, bool [n].
    """

    candidate: Candidate
    predicted: np.ndarray
    right: np.ndarray

    @property
    def accuracy(self) -> float:
        """The validation accuracy, 0 to 1."""
        return float(self.right.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """The interval of the accuracy, both ends 0 to 1; see `certainty.interval`."""
        return certainty.interval(int(self.right.sum()), len(self.right))


@dataclass(frozen=True)
class RankedModel:
    """A model with its candidates, at least one, in the order of their seeds."""

    name: str
    candidates: tuple[Evaluated, ...]

    @property
    def best(self) -> Evaluated:
        """The most accurate candidate; of equal ones that with the lowest seed."""
        return max(self.candidates, key=lambda candidate: candidate.accuracy)

    @property
    def mean(self) -> float:
        """The mean accuracy of the candidates: one quotient of integers, so that equal means are equal numbers."""
        right = sum(int(candidate.right.sum()) for candidate in self.candidates)
        return right / sum(len(candidate.right) for candidate in self.candidates)

    @property
    def lowest(self) -> float:
        """The accuracy of the least accurate candidate."""
        return min(candidate.accuracy for candidate in self.candidates)

    @property
    def deviation(self) -> float | None:
        """The standard deviation of the accuracies, with n - 1 as divisor; None for a single candidate."""
        accuracies = [candidate.accuracy for candidate in self.candidates]
        return statistics.stdev(accuracies) if len(accuracies) > 1 else None


def rank(evaluated: Iterable[Evaluated]) -> list[RankedModel]:
    """Return the models, the highest mean first; of equal ones the first in `evaluated` comes first."""
    by_model: dict[str, list[Evaluated]] = {}
    for one in evaluated:
        by_model.setdefault(one.candidate.model, []).append(one)
    models = [RankedModel(name, tuple(candidates)) for name, candidates in by_model.items()]
    return sorted(models, key=lambda model: model.mean, reverse=True)
