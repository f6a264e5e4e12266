"""Settings of a training, and their options: the same for the training script and the local pipeline."""

import argparse
from dataclasses import asdict, dataclass

from distml.data.fashion_mnist import TRAIN_IMAGES
from distml.step import command_line, outcome


@dataclass(frozen=True)
class Settings:
    """What decides the weights beside data, code and software. global batch = batch_per_worker * workers."""

    workers: int
    epochs: int
    batch_per_worker: int
    learning_rate: float
    seed: int
    train_images: int

    @classmethod
    def from_args(cls, args: argparse.Namespace, workers: int) -> "Settings":
        """Return the settings that a parsed command line has, for so many workers.

        Raises:
            StepError: a global batch is more than all images.
        """
        if (global_batch := args.batch_per_worker * workers) > args.train_images:
            raise outcome.StepError(
                f"a global batch of {global_batch} is more than the {args.train_images} training images; lower"
                " --batch-per-worker, or train on fewer workers"
            )
        return cls(workers, args.epochs, args.batch_per_worker, args.learning_rate, args.seed, args.train_images)

    def options(self) -> list[str]:
        """Return the options that `add_options` parses to these settings; `workers` has none."""
        values = asdict(self)
        del values["workers"]
        return [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for each setting but the number of workers, which TF_CONFIG or the launcher tells."""
    parser.add_argument("--epochs", type=command_line.positive, default=4, help="passes over the training images")
    parser.add_argument(
        "--batch-per-worker", type=command_line.positive, default=64, help="images per replica and step"
    )
    parser.add_argument("--learning-rate", type=command_line.positive_number, default=6e-3, help="the schedule's peak")
    parser.add_argument("--seed", type=seed, default=1, help="of weights, dropout and the order of images")
    parser.add_argument("--train-images", type=train_images, default=TRAIN_IMAGES, help="fewer, for a quick trial")


def seed(text: str) -> int:
    """Parse what TensorFlow takes as a seed: an argparse type."""
    return command_line.integer(text, 0, 2**31 - 1)


def train_images(text: str) -> int:
    """Parse how many images of the training split are trained on: an argparse type."""
    return command_line.integer(text, 1, TRAIN_IMAGES)
