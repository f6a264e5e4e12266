"""Train `plain` by the project's own training step and input pipeline, as one worker of a group or without peers.

python bench/ways/own_path.py VOLUME MODEL BATCH_PER_WORKER GOAL PRECISION [SHARDING]     # started by bench/training.py

GOAL is a number of training steps or a validation accuracy below 1, PRECISION float32 or bfloat16, SHARDING own (the
project's) or automatic (tf.data's). Optimizer, learning rate and epochs are the pipeline's defaults.
"""

import ctypes
import select
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from distml.step.load_tensorflow import tf

from measurement import measure

import local_pipeline
from distml.data import input_pipeline
from distml.data.input_pipeline import Share
from distml.step.volume import Volume
from distml.training.group import agreement, tf_config, worker
from distml.training.replicated_model import ReplicatedModel
from distml.training.settings import Settings

SEED = 1


def automatically_sharded(global_batches: tf.data.Dataset, size: int, strategy: tf.distribute.Strategy) -> Iterator:
    """Return an iterator over this worker's share of each global batch, by tf.data's automatic sharding at its best.

    The length and the shape are declared. Otherwise the workers ask each other before each training step whether all
    still have a batch. mallopt undoes what TensorFlow sets when it creates the iterator.
    """
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    shaped = global_batches.map(lambda *parts: [tf.ensure_shape(part, [size, *part.shape[1:]]) for part in parts])
    endless = shaped.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    iterator = iter(strategy.experimental_distribute_dataset(endless.with_options(options)))
    for parameter, value in ((-3, 32 * 2**20), (-1, 64 * 2**20)):  # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h
        ctypes.CDLL(None).mallopt(parameter, value)
    return iterator


def main(folder: str, model: str, batch: str, goal: str, precision: str, sharding: str = "own") -> None:
    volume, group = Volume(Path(folder)), tf_config.read()
    strategy = worker.join_worker_group(group, worker.Watchdog(), 120)
    options = ["--batch-per-worker", batch, "--precision", precision]
    settings = Settings.from_args(local_pipeline.parse_args(options), group.size)
    share = Share(settings.batch_per_worker, group.size, group.index)
    split, held_out = input_pipeline.load(volume, "train"), input_pipeline.load(volume, "validation")
    steps_per_epoch = input_pipeline.steps_per_epoch(len(split), share.global_batch)
    held_out_batches, held_out_steps = input_pipeline.evaluation_batches(held_out, share)
    validation = iter(held_out_batches)
    if sharding == "own":
        batches = iter(input_pipeline.training_batches(split, share, SEED))
    else:
        global_batches = input_pipeline.training_batches(split, Share(share.global_batch), SEED)
        batches = automatically_sharded(global_batches, share.global_batch, strategy)
    trained = ReplicatedModel(strategy, model, SEED, settings, steps_per_epoch)
    variables = [*trained.network.variables, *trained.optimizer.variables]
    initial = [variable.numpy() for variable in variables]
    trained.take_steps(batches, tf.constant(50))
    for variable, value in zip(variables, initial, strict=True):
        variable.assign(value)
    if not group.addresses:  # without a group, only bench/training.py can start both workers at once
        print("ready", flush=True)
        sys.stdin.readline()
    measure(
        goal,
        settings.batch_per_worker,
        lambda steps: float(trained.take_steps(batches, tf.constant(steps))),
        lambda: float(trained.count_correct(validation, tf.constant(held_out_steps))) / len(held_out),
    )
    # Without a group, keep the machine busy until the other worker has measured too.
    while not group.addresses and not select.select([sys.stdin], [], [], 0)[0]:
        trained.take_steps(batches, tf.constant(5))
    agreement.values_of_all(strategy, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
