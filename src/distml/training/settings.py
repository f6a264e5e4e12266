"""What a user can set of a training: the same options for the training script and the local pipeline."""

import argparse
from dataclasses import dataclass

from distml.step import command_line

# The other 5,000 images of TFDS's train split are never trained on.
TRAIN_IMAGES = 55_000


@dataclass(frozen=True)
class Settings:
    """What decides the weights beside data, code and software. global batch = batch_per_worker * workers."""

    workers: int
    epochs: int
    batch_per_worker: int
    learning_rate: float
    seed: int
    train_images: int


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add an option for each setting but the number of workers, which TF_CONFIG or the launcher tells."""
    parser.add_argument("--epochs", type=command_line.positive, default=4, help="passes over the training images")
    parser.add_argument(
        "--batch-per-worker", type=command_line.positive, default=64, help="images per replica and step"
    )
    parser.add_argument("--learning-rate", type=command_line.positive_number, default=6e-3, help="the schedule's peak")
    parser.add_argument("--seed", type=seed, default=1, help="of weights, dropout and the order of images")
    parser.add_argument("--train-images", type=train_images, default=TRAIN_IMAGES, help="fewer, for a quick trial")


def of(args: argparse.Namespace, workers: int) -> Settings:
    """The settings that a parsed command line has, for so many workers."""
    return Settings(workers, args.epochs, args.batch_per_worker, args.learning_rate, args.seed, args.train_images)


def as_options(args: argparse.Namespace) -> list[str]:
    """The command line, without `workers`, that `add_options` parses to the same settings."""
    names = ("epochs", "batch_per_worker", "learning_rate", "seed", "train_images")
    return [f"--{name.replace('_', '-')}={getattr(args, name)}" for name in names]


def seed(text: str) -> int:
    """An argparse type: what TensorFlow takes as a seed."""
    return command_line.integer(text, 0, 2**31 - 1)


def train_images(text: str) -> int:
    """An argparse type: how many of the images of the training split."""
    return command_line.integer(text, 1, TRAIN_IMAGES)
