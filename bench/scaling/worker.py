"""One worker of bench/growth.py: it measures its group's exchanges and training steps when it is asked to.

    python bench/scaling/worker.py VOLUME      # started by bench/growth.py

Reads one request per line of JSON and answers each with one line of JSON. All workers of a group get the same requests.
A figure is the mean of a few exchanges or steps in a row, because the workers of a group drift: one may end an exchange
early and the next one late.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from distml.step.load_tensorflow import tf

import functools
import json
import time
import unittest.mock
from collections.abc import Callable

import numpy as np

import local_pipeline
from distml.data import input_pipeline
from distml.data.input_pipeline import Share
from distml.model import variants
from distml.step.volume import Volume
from distml.training import precision
from distml.training.group import mean, tf_config, worker
from distml.training.replicated_model import ReplicatedModel, is_statistic
from distml.training.settings import Settings

MODEL, SEED = "plain", 1
WARM_UP = 5


class Measurements:
    """The measurements that one worker can make, by the name of the request."""

    def __init__(self, volume: Volume):
        self._volume, self._group = volume, tf_config.read()
        self._strategy = worker.join_worker_group(self._group, worker.Watchdog(), 120)
        self._exchanges, self._training = functools.cache(self._build_exchanges), functools.cache(self._build_training)

    def exchange(self, way: str, divisor: int, blocks: int, length: int) -> dict:
        """Measure the exchange alone: milliseconds of each of `blocks` blocks of `length` exchanges in a row.

        Args:
            way: "ring" or "gather", the two ways of the project's own exchange.
            divisor: 1 for the values that `MODEL` exchanges in a training step, 16 for a sixteenth of their size.
            blocks: number of figures.
            length: exchanges in each.
        """
        run, size = self._exchanges(way, divisor)
        stamps = run(tf.constant(WARM_UP + blocks * length)).numpy()[WARM_UP::length]
        return {"bytes": size, "milliseconds": (1000 * np.diff(stamps) / length).tolist()}

    def steps(self, batch: int, blocks: int, length: int) -> dict:
        """Measure whole training steps: milliseconds per step of each of `blocks` blocks of `length` steps."""
        take_steps = self._training(batch)
        take_steps(WARM_UP)
        milliseconds = []
        for _ in range(blocks):
            started = time.perf_counter()
            take_steps(length)
            milliseconds.append(1000 * (time.perf_counter() - started) / length)
        return {"milliseconds": milliseconds}

    def _build_exchanges(self, way: str, divisor: int) -> tuple[tf.types.experimental.PolymorphicFunction, int]:
        """Return a function that exchanges again and again and returns the time after each, and the size in bytes."""
        network = variants.build(MODEL)
        statistics = [value for value in network.non_trainable_variables if is_statistic(value)]
        shapes = [(), *(tuple(value.shape) for value in [*network.trainable_variables, *statistics])]
        if divisor > 1:
            shapes = [(sum(int(np.prod(shape)) for shape in shapes) // divisor,)]
        values = [tf.random.stateless_normal(shape, [1, 2]) for shape in shapes]

        def on_replica(values: list[tf.Tensor]) -> list[tf.Tensor]:
            # The project chooses its way by the largest group that gathers.
            with unittest.mock.patch.object(mean, "GATHER_UP_TO", self._group.size if way == "gather" else 1):
                return mean.over_workers([tf.identity(value) for value in values])  # on the replica's device

        @tf.function(experimental_attributes={"_noinline": True})  # as the project's training step
        def exchange(values: list[tf.Tensor]) -> list[tf.Tensor]:
            return self._strategy.run(on_replica, args=(values,))

        @tf.function
        def exchanges(number: tf.Tensor) -> tf.Tensor:
            stamps = tf.TensorArray(tf.float64, number + 1).write(0, tf.timestamp())
            current = values
            for done in tf.range(number):
                current = exchange(current)
                with tf.control_dependencies(current):
                    stamps = stamps.write(done + 1, tf.timestamp())
            return stamps.stack()

        return exchanges, 4 * sum(int(np.prod(shape)) for shape in shapes)

    def _build_training(self, batch: int) -> Callable[[int], float]:
        """Return a function that takes training steps as the pipeline does, with its defaults."""
        options = ["--batch-per-worker", str(batch), "--precision", precision.of_this_machine()]
        settings = Settings.from_args(local_pipeline.parse_args(options), self._group.size)
        share = Share(batch, self._group.size, self._group.index)
        split = input_pipeline.load(self._volume, "train")
        batches = iter(input_pipeline.training_batches(split, share, SEED))
        steps_per_epoch = input_pipeline.steps_per_epoch(len(split), share.global_batch)
        trained = ReplicatedModel(self._strategy, MODEL, SEED, settings, steps_per_epoch)
        return lambda steps: float(trained.take_steps(batches, tf.constant(steps)))


def main(folder: str) -> None:
    measurements = Measurements(Volume(Path(folder)))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        name, arguments = json.loads(line)
        print(json.dumps(getattr(measurements, name)(**arguments)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
