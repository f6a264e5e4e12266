"""Train with a tutorial's script, as a baseline: `fit` under MWMS and a per-element input pipeline.

python bench/ways/usual_script.py VOLUME MODEL BATCH_PER_WORKER GOAL PRECISION [FORM]     # started by bench/training.py

GOAL is a number of training steps or a validation accuracy below 1, PRECISION float32 or bfloat16. FORM `found` keeps
the default options; `tuned` turns oneDNN on and takes 50 steps per call. Keras 3's `fit` does not run under this
strategy, so the script uses tf_keras, as tutorials do now. The CNN is `plain`.
"""

import os
import sys
import time
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
if sys.argv[6:] == ["tuned"]:
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"

import tensorflow as tf
import tensorflow_datasets as tfds
from measurement import MOST_STEPS, STEPS_PER_EVALUATION, print_result

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

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
            layers.Dense(10, dtype="float32"),
        ]
    )


def scale(image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.cast(image, tf.float32) / 255, label


class Clock(tf.keras.callbacks.Callback):
    """The seconds of training up to the end of each epoch, without evaluations; reaching the goal ends the training."""

    def __init__(self, goal: float, validation: tf.data.Dataset) -> None:
        super().__init__()
        self.goal, self.validation = goal, validation
        self.seconds: list[float] = []
        self.accuracy = 0.0

    def on_train_begin(self, logs: object = None) -> None:
        self.started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        ended = time.monotonic()
        self.seconds.append(ended - self.started)
        if self.goal < 1:
            self.accuracy = self.model.evaluate(self.validation, verbose=0)[1]
            self.model.stop_training = self.accuracy >= self.goal
            self.started += time.monotonic() - ended


def main(volume: str, model: str, batch: str, goal: str, precision: str, form: str = "found") -> None:
    assert model == "plain"
    tf.keras.mixed_precision.set_global_policy({"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision])
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    global_batch = int(batch) * strategy.num_replicas_in_sync
    builder = tfds.builder_from_directory(Volume(Path(volume)).dataset)
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA

    def read(split: str) -> tf.data.Dataset:
        return builder.as_dataset(split=split, as_supervised=True).map(scale).cache().with_options(options)

    data = read("train[:55000]").shuffle(10000).repeat().batch(global_batch)
    untuned = tf.data.Options()
    untuned.autotune.enabled = False  # the end of a tuned iterator would keep the other worker waiting for this one
    clock = Clock(float(goal), read("train[55000:]").batch(1000).with_options(untuned))
    with strategy.scope():
        network = build_network()
        network.compile(
            optimizer=tf.keras.optimizers.Adam(),
            loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            steps_per_execution=50 if form == "tuned" else 1,
        )
    if clock.goal >= 1:
        network.fit(data, epochs=2, steps_per_epoch=int(goal), verbose=0, callbacks=[clock])
        seconds = clock.seconds[1] - clock.seconds[0]  # epoch 1 fills the cache if it has 400 steps
        print_result(images_per_second=int(goal) * int(batch) / seconds)
        return
    network.optimizer.build(network.trainable_variables)
    variables = network.variables + network.optimizer.variables
    initial = [variable.numpy() for variable in variables]
    network.fit(data, epochs=1, steps_per_epoch=STEPS_PER_EVALUATION, verbose=0)  # builds the graphs
    for variable, value in zip(variables, initial, strict=True):
        variable.assign(value)
    network.fit(
        data,
        epochs=MOST_STEPS // STEPS_PER_EVALUATION,
        steps_per_epoch=STEPS_PER_EVALUATION,
        verbose=0,
        callbacks=[clock],
    )
    steps = len(clock.seconds) * STEPS_PER_EVALUATION
    print_result(seconds_to_accuracy=clock.seconds[-1], steps=steps, accuracy=clock.accuracy)


if __name__ == "__main__":
    main(*sys.argv[1:])
