"""The verdict on the winner's lead."""

from distml.publishing.selection.lead import Comparison, Verdict, compare, verdict
from support.evaluated import evaluated


def test_a_comparison_counts_the_images_on_which_one_model_is_right() -> None:
    winner = evaluated("batchnorm", 2, "1" * 8 + "00" + "1" * 90)
    close = evaluated("dropout", 3, "1" * 7 + "0" * 3 + "1" * 90)
    far = evaluated("plain", 1, "0" * 8 + "11" + "1" * 90)
    # 2 of 10 tosses or fewer, or 8 or more: 112 of 1,024 ways. The smaller of two p-values is doubled.
    assert compare(winner, [close, far]) == [
        Comparison("dropout", 3, only_winner=1, only_other=0, p=1.0, adjusted_p=1.0),
        Comparison("plain", 1, only_winner=8, only_other=2, p=112 / 1024, adjusted_p=224 / 1024),
    ]


def row(only_winner: int, only_other: int, adjusted_p: float) -> Comparison:
    return Comparison("plain", 1, only_winner, only_other, adjusted_p, adjusted_p)


def test_the_lead_is_beyond_chance_only_over_every_other_model() -> None:
    far, close = row(30, 5, 0.0001), row(12, 10, 0.83)
    assert verdict([far, far]) == "lead beyond chance"
    assert verdict([far, close]) == "lead within chance"
    assert verdict([row(19, 8, 0.05)]) is Verdict.WITHIN_CHANCE


def test_a_winner_by_mean_whose_best_candidate_is_worse_is_within_chance() -> None:
    assert verdict([row(5, 30, 0.0001)]) == "lead within chance"


def test_a_single_model_has_no_lead() -> None:
    assert compare(evaluated("plain", 1, "10"), []) == []
    assert verdict([]) == "no other model to compare with"
