"""The certainty of the lead of the winner's candidate over those of other models, and the verdict in words."""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from distml.publishing.selection import certainty
from distml.publishing.selection.ranking import Evaluated


class Verdict(StrEnum):
    """The verdicts on a winner's lead."""

    WITHIN_CHANCE = "lead within chance"
    BEYOND_CHANCE = "lead beyond chance"
    ALONE = "no other model to compare with"


class Comparison(NamedTuple):
    """The winner's published candidate compared with the best one of another model, on the same images.

    Attributes:
        model: name of the other model.
        seed: seed of its candidate.
        only_winner: number of images that only the winner classifies correctly.
        only_other: number of images that only the other candidate classifies correctly.
        p: result of `certainty.mcnemar`, 0 to 1.
        adjusted_p: the same, adjusted for the number of comparisons by `certainty.holm`.
    """

    model: str
    seed: int
    only_winner: int
    only_other: int
    p: float
    adjusted_p: float

    @property
    def beyond_chance(self) -> bool:
        """True if the winner's candidate is better, and by more than chance explains."""
        return self.only_winner > self.only_other and self.adjusted_p < certainty.SIGNIFICANCE


def compare(winner: Evaluated, others: Sequence[Evaluated]) -> list[Comparison]:
    """Compare the winner's candidate with one candidate of each other model, on the same images."""
    p_values = {other.candidate.model: certainty.mcnemar(winner.right, other.right) for other in others}
    adjusted = certainty.holm(p_values)
    return [
        Comparison(
            model=other.candidate.model,
            seed=other.candidate.seed,
            only_winner=int((winner.right & ~other.right).sum()),
            only_other=int((other.right & ~winner.right).sum()),
            p=p_values[other.candidate.model],
            adjusted_p=adjusted[other.candidate.model],
        )
        for other in others
    ]


def verdict(comparisons: Sequence[Comparison]) -> Verdict:
    """Return the verdict on the winner's lead: beyond chance only if it is over every other model.

    The winner has the highest mean over its seeds, so with several seeds its best candidate can be less accurate than
    another model's best one. Such a winner does not lead beyond chance.

    The verdict is on trained candidates and covers the choice of the images only. Other seeds may turn it.
    """
    if not comparisons:
        return Verdict.ALONE
    beyond = all(comparison.beyond_chance for comparison in comparisons)
    return Verdict.BEYOND_CHANCE if beyond else Verdict.WITHIN_CHANCE


def in_words(p: float) -> str:
    """Return a p-value as text."""
    return "<0.0001" if p < 0.0001 else f"{p:.2g}"
