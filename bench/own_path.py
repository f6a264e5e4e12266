"""Run one worker of the project's own training path, with its input pipeline; print speed and peak memory as JSON.

python bench/own_path.py VOLUME MODEL BATCH_PER_WORKER STEPS     # started by bench/training.py
"""

import json
import resource
import select
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from distml.step.load_tensorflow import tf

from distml.data import input_pipeline
from distml.data.input_pipeline import Share
from distml.step.volume import Volume
from distml.training.group import tf_config, worker
from distml.training.replicated_model import ReplicatedModel
from distml.training.settings import Settings


def main(volume: str, model: str, batch: str, steps: str) -> None:
    group = tf_config.read()
    strategy = worker.join_worker_group(group, worker.Watchdog(), 120)
    share = Share(int(batch), group.size, group.index)
    split = input_pipeline.load(Volume(Path(volume)), "train")
    settings = Settings(
        group.size, epochs=100, batch_per_worker=share.batch, learning_rate=1e-3, seed=1, train_images=len(split)
    )
    steps_per_epoch = input_pipeline.steps_per_epoch(len(split), share.global_batch)
    replicated = ReplicatedModel(strategy, model, settings, steps_per_epoch)
    batches = iter(input_pipeline.training_batches(split, share, seed=1))
    replicated.take_steps(batches, tf.constant(50))
    if not group.addresses:  # without a group, only bench/training.py can start both workers at once
        print("ready", flush=True)
        sys.stdin.readline()
    started = time.monotonic()
    replicated.take_steps(batches, tf.constant(int(steps)))
    seconds = time.monotonic() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"images_per_second": int(steps) * share.batch / seconds, "memory_gib": memory}), flush=True)
    # Without a group, keep the machine busy until the other worker has measured too.
    while not group.addresses and not select.select([sys.stdin], [], [], 0)[0]:
        replicated.take_steps(batches, tf.constant(5))
    worker.values_of_all(strategy, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
