"""The settings of a run's trainings, and their options, for the training script and the local pipeline."""

import argparse
import math
from dataclasses import asdict, dataclass, replace

from distml.data.fashion_mnist import TRAIN_IMAGES
from distml.step import command_line, outcome
from distml.training.precision import AUTO, BFLOAT16, FLOAT32

# The peak learning rate that suits a global batch of this many images; docs/design.md has measurements.
LEARNING_RATE = 6e-3
AT_GLOBAL_BATCH = 128


@dataclass(frozen=True)
class Settings:
    """Settings that decide the weights besides data, code, software and the seed, which each candidate has its own.

    Global batch = batch_per_worker * workers. `learning_rate` is the peak of the schedule. `precision` may be `AUTO`
    until a run is chosen.
    """

    workers: int
    epochs: int
    batch_per_worker: int
    learning_rate: float
    train_images: int
    precision: str

    @classmethod
    def from_args(cls, args: argparse.Namespace, workers: int) -> "Settings":
        """Return the settings of a parsed command line, with this number of workers.

        Raises:
            StepError: a global batch is larger than the training set.
        """
        if excess := excess_of_global_batch(args.batch_per_worker, workers, args.train_images):
            raise outcome.StepError(f"{excess}; lower --batch-per-worker or train on fewer workers")
        return cls(
            workers=workers,
            epochs=args.epochs,
            batch_per_worker=args.batch_per_worker,
            learning_rate=args.learning_rate or peak_learning_rate(args.batch_per_worker * workers),
            train_images=args.train_images,
            precision=args.precision,
        )

    def with_precision(self, precision: str) -> "Settings":
        """Return the same settings with another precision."""
        return replace(self, precision=precision)

    def options(self) -> list[str]:
        """Return the options that parse back to these settings; `workers` has no option."""
        values = asdict(self)
        del values["workers"]
        return [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]


def excess_of_global_batch(batch_per_worker: int, workers: int, train_images: int) -> str:
    """Return in a few words that a global batch is larger than the training set, or "" if it is not."""
    global_batch = batch_per_worker * workers
    if global_batch <= train_images:
        return ""
    return f"a global batch of {global_batch} is more than the {train_images} training images"


def peak_learning_rate(global_batch: int) -> float:
    """Return the default peak learning rate for this many images per training step: it grows with their square root.

    The mean gradient of k times as many images has a k times smaller variance. Adam divides each step by the size of
    the gradients, so a learning rate larger by the square root of k keeps the noise of the weights as it was. Plain
    gradient descent needs k (Goyal et al. 2017). Measured up to 2,048 images. Source: Malladi et al. 2022, "On the SDEs
    and Scaling Rules for Adaptive Gradient Algorithms", which also scales Adam's other parameters; those stay here.
    """
    return round(LEARNING_RATE * math.sqrt(global_batch / AT_GLOBAL_BATCH), 6)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the seeds, and one for each setting except `workers`, which the group determines."""
    parser.add_argument("--epochs", type=command_line.positive, default=4, help="passes over the training images")
    parser.add_argument(
        "--batch-per-worker", type=command_line.positive, default=64, help="images per worker and training step"
    )
    parser.add_argument(
        "--learning-rate",
        type=command_line.positive_number,
        help=f"peak learning rate (default: {LEARNING_RATE} * square root of (global batch / {AT_GLOBAL_BATCH}))",
    )
    parser.add_argument(
        "--seed", type=command_line.seed, default=1, help="first seed of weights, dropout and the order of images"
    )
    parser.add_argument(
        "--seeds",
        type=command_line.number_of_seeds,
        default=1,
        help="number of seeds, counted up from --seed; every model is trained once with each",
    )
    parser.add_argument(
        "--train-images", type=train_images, default=TRAIN_IMAGES, help="training images; fewer for a quick trial"
    )
    parser.add_argument(
        "--precision",
        choices=(AUTO, FLOAT32, BFLOAT16),
        default=AUTO,
        help="auto: bfloat16 if every worker's processor has AVX512-BF16 or AMX instructions, else float32",
    )


def train_images(text: str) -> int:
    """Parse a number of training images (argparse type)."""
    return command_line.integer(text, 1, TRAIN_IMAGES)
