"""The settings of a training, and their command-line options."""

import pytest

import multi_worker_distributed_training as script
from distml.step import command_line, outcome
from distml.training.settings import Settings


def test_the_options_of_settings_parse_back_to_the_same_settings() -> None:
    settings = Settings(
        workers=3,
        epochs=7,
        batch_per_worker=32,
        learning_rate=1.5e-05,
        train_images=640,
        precision="bfloat16",
    )
    args = script.parse_args(["--model=plain", *settings.options()])
    assert Settings.from_args(args, workers=3) == settings


@pytest.mark.parametrize(
    ("options", "seeds"), [([], [1]), (["--seeds=3"], [1, 2, 3]), (["--seed=0", "--seeds=2"], [0, 1])]
)
def test_a_first_seed_and_a_number_select_seeds(options: list[str], seeds: list[int]) -> None:
    assert command_line.seeds_of(script.parse_args(["--model=plain", *options])) == seeds


@pytest.mark.parametrize("number", ["0", "abc", "1.5"])
def test_a_number_of_seeds_below_1_or_not_whole_is_refused(capsys: pytest.CaptureFixture[str], number: str) -> None:
    with pytest.raises(SystemExit) as ended:
        script.parse_args(["--model=plain", f"--seeds={number}"])
    reason = f"argument --seeds: '{number}' is not an integer from 1 to 100; see --help\n"
    assert (ended.value.code, capsys.readouterr().err.endswith(reason)) == (2, True)


def test_a_global_batch_larger_than_the_training_set_is_refused() -> None:
    args = script.parse_args(["--model=plain", "--batch-per-worker=50", "--train-images=100"])
    assert Settings.from_args(args, 2).batch_per_worker == 50
    with pytest.raises(
        outcome.StepError, match="a global batch of 150 is more than the 100 training images"
    ) as refused:
        Settings.from_args(args, 3)
    assert refused.value.exit_status == 2


@pytest.mark.parametrize(("workers", "rate"), [(1, 0.004243), (2, 0.006), (8, 0.012), (32, 0.024)])
def test_the_learning_rate_grows_with_the_root_of_the_global_batch(workers: int, rate: float) -> None:
    args = script.parse_args(["--model=plain", "--batch-per-worker=64"])
    assert Settings.from_args(args, workers).learning_rate == rate


def test_a_learning_rate_that_is_given_holds_for_every_batch() -> None:
    args = script.parse_args(["--model=plain", "--learning-rate=0.001"])
    assert [Settings.from_args(args, workers).learning_rate for workers in (1, 64)] == [0.001, 0.001]
