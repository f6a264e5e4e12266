"""The schedule of the learning rate."""

import pytest

from distml.training.optimizer import learning_rate_schedule, warm_up_steps
from distml.training.settings import Settings


@pytest.mark.parametrize(
    ("epochs", "steps_per_epoch", "steps"),
    [(4, 429, 214), (4, 107, 100), (4, 53, 53), (8, 26, 52), (1, 429, 107), (1, 1, 0)],
    ids=["batch 128: half an epoch", "512: 100 steps", "1,024: a quarter", "2,048: a quarter", "1 epoch", "1 step"],
)
def test_the_warm_up_takes_half_an_epoch_100_steps_or_a_quarter(epochs: int, steps_per_epoch: int, steps: int) -> None:
    assert warm_up_steps(epochs * steps_per_epoch, steps_per_epoch) == steps


def test_the_learning_rate_rises_from_a_tenth_of_its_peak_and_falls_to_0() -> None:
    settings = Settings(2, 4, 64, learning_rate=0.006, train_images=55_000, precision="float32")
    schedule = learning_rate_schedule(settings, steps_per_epoch=429)
    rates = [float(schedule(step)) for step in (0, 107, 214, 965, 1716)]
    assert rates == pytest.approx([0.0006, 0.0033, 0.006, 0.003, 0.0], abs=1e-7)
