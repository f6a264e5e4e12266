"""Train with a tutorial's script, as a baseline: `fit` under MWMS, default options, a per-element input pipeline.

    python bench/usual_script.py VOLUME MODEL BATCH_PER_WORKER STEPS     # started by bench/training.py

Keras 3's `fit` does not run under this strategy, so the script uses tf_keras, as tutorials do now. The CNN is `plain`.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"

import tensorflow as tf
import tensorflow_datasets as tfds

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from distml.step.volume import Volume


def build_network() -> tf.keras.Model:
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            layers.Conv2D(32, 3, padding="same", input_shape=(28, 28, 1)),
            layers.MaxPooling2D(),
            layers.ReLU(),
            layers.Conv2D(64, 3, padding="same"),
            layers.MaxPooling2D(),
            layers.ReLU(),
            layers.Conv2D(64, 3, padding="same"),
            layers.MaxPooling2D(),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )


def scale(image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.cast(image, tf.float32) / 255, label


def main(volume: str, model: str, batch: str, steps: str) -> None:
    assert model == "plain"
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    global_batch = int(batch) * strategy.num_replicas_in_sync
    builder = tfds.builder_from_directory(Volume(Path(volume)).dataset)
    data = builder.as_dataset(split="train[:55000]", as_supervised=True)
    data = data.map(scale).cache().shuffle(10000).repeat().batch(global_batch)
    with strategy.scope():
        network = build_network()
        network.compile(
            optimizer=tf.keras.optimizers.Adam(),
            loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    stamps: list[float] = []
    stamp = tf.keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: stamps.append(time.monotonic()))
    network.fit(data.with_options(options), epochs=2, steps_per_epoch=int(steps), verbose=0, callbacks=[stamp])
    speed = int(steps) * int(batch) / (stamps[1] - stamps[0])  # epoch 1 fills the cache if it has 400 steps
    print(json.dumps({"images_per_second": speed}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
