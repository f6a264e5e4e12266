"""The settings of a training on command lines."""

import multi_worker_distributed_training as script
from distml.training.settings import Settings


def test_the_options_of_settings_parse_to_the_same_settings() -> None:
    settings = Settings(
        workers=3, epochs=7, batch_per_worker=32, learning_rate=1.5e-05, seed=2**31 - 1, train_images=640
    )
    args = script.parse_args(["--model=plain", *settings.options()])
    assert Settings.from_args(args, workers=3) == settings
