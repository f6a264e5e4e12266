"""One worker of the project's own training path, input pipeline included; prints its speed and peak memory as JSON.

python bench/own_path.py VOLUME MODEL BATCH_PER_WORKER STEPS     # started by bench/training.py
"""

import json
import resource
import sys
import time
from pathlib import Path

import tensorflow as tf

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

import input_pipeline
import worker_process
from input_pipeline import Share
from run_identity import Settings
from training import Training
from volume import Volume


def main(volume: str, model: str, batch: str, steps: str) -> None:
    strategy = worker_process.join_gang(worker_process.Watchdog(), 120)
    workers = worker_process.workers_of_tf_config()
    share = Share(int(batch), workers, worker_process.worker_index(strategy))
    split = input_pipeline.load(Volume(Path(volume)), "train")
    settings = Settings(
        workers, epochs=100, batch_per_worker=share.batch, learning_rate=1e-3, seed=1, train_images=len(split)
    )
    training = Training(strategy, model, settings, input_pipeline.steps_per_epoch(len(split), share.global_batch))
    batches = iter(input_pipeline.training_batches(split, share, seed=1))
    training.train(batches, tf.constant(10))
    started = time.monotonic()
    training.train(batches, tf.constant(int(steps)))
    seconds = time.monotonic() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"images_per_second": int(steps) * share.batch / seconds, "memory_gib": memory}), flush=True)
    worker_process.values_of_all(strategy, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
