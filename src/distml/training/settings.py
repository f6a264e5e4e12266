"""The settings of a training, and their options, for the training script and the local pipeline."""

import argparse
from dataclasses import asdict, dataclass

from distml.data.fashion_mnist import TRAIN_IMAGES
from distml.step import command_line, outcome


@dataclass(frozen=True)
class Settings:
    """Settings that decide the weights besides data, code and software. Global batch = batch_per_worker * workers."""

    workers: int
    epochs: int
    batch_per_worker: int
    learning_rate: float
    seed: int
    train_images: int

    @classmethod
    def from_args(cls, args: argparse.Namespace, workers: int) -> "Settings":
        """Return the settings of a parsed command line, with this number of workers.

        Raises:
            StepError: a global batch is larger than the training set.
        """
        if (global_batch := args.batch_per_worker * workers) > args.train_images:
            raise outcome.StepError(
                f"a global batch of {global_batch} is more than the {args.train_images} training images; lower"
                " --batch-per-worker or train on fewer workers"
            )
        return cls(workers, args.epochs, args.batch_per_worker, args.learning_rate, args.seed, args.train_images)

    def options(self) -> list[str]:
        """Return the options that parse back to these settings; `workers` has no option."""
        values = asdict(self)
        del values["workers"]
        return [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for each setting except `workers`, which TF_CONFIG or the launcher determines."""
    parser.add_argument("--epochs", type=command_line.positive, default=4, help="passes over the training images")
    parser.add_argument(
        "--batch-per-worker", type=command_line.positive, default=64, help="images per worker and training step"
    )
    parser.add_argument("--learning-rate", type=command_line.positive_number, default=6e-3, help="peak learning rate")
    parser.add_argument("--seed", type=seed, default=1, help="seed of weights, dropout and the order of images")
    parser.add_argument(
        "--train-images", type=train_images, default=TRAIN_IMAGES, help="training images; fewer for a quick trial"
    )


def seed(text: str) -> int:
    """Parse a seed that TensorFlow accepts (argparse type)."""
    return command_line.integer(text, 0, 2**31 - 1)


def train_images(text: str) -> int:
    """Parse a number of training images (argparse type)."""
    return command_line.integer(text, 1, TRAIN_IMAGES)
