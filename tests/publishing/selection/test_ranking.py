"""The ranking of models with one or several seeds."""

import pytest

from distml.publishing.selection.ranking import rank
from support.evaluated import evaluated


def test_the_model_with_the_highest_mean_wins_not_the_best_candidate() -> None:
    ranking = rank(
        [
            *(evaluated("plain", 1, "1111111111"), evaluated("plain", 2, "1000000000")),
            *(evaluated("dropout", 1, "1111110000"), evaluated("dropout", 2, "1111111100")),
        ]
    )
    assert [(model.name, model.mean) for model in ranking] == [("dropout", 0.7), ("plain", 0.55)]
    winner = ranking[0]
    assert (winner.best.candidate.name, winner.best.accuracy, winner.lowest) == ("dropout-seed2", 0.8, 0.6)
    assert winner.deviation == pytest.approx(0.02**0.5)


def test_of_equal_models_the_first_wins_and_of_equal_seeds_the_lowest() -> None:
    candidates = [evaluated(model, seed, "1110") for model in ("plain", "batchnorm") for seed in (4, 5)]
    ranking = rank(candidates)
    assert [model.name for model in ranking] == ["plain", "batchnorm"]
    assert ranking[0].best is candidates[0]


def test_a_single_seed_has_no_spread() -> None:
    (model,) = rank([evaluated("plain", 1, "1110")])
    assert (model.mean, model.lowest, model.deviation) == (0.75, 0.75, None)


def test_models_may_have_different_numbers_of_seeds() -> None:
    seeds = [evaluated("plain", 1, "1100"), evaluated("dropout", 1, "1111"), evaluated("dropout", 2, "1100")]
    assert [(model.name, len(model.candidates), model.mean) for model in rank(seeds)] == [
        ("dropout", 2, 0.75),
        ("plain", 1, 0.5),
    ]
