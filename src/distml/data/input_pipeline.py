"""From the prepared data set to batches on each worker: splits, order, sharding.

The images of a split (43 MB) stay in memory. What is shuffled and batched is their indices, a vector at a time, so
that an epoch costs one shuffle and each batch one gather, instead of work per image.

Each worker iterates over a plain tf.data iterator. The one that `strategy.experimental_distribute_dataset` makes sets
the C library's allocator to return memory after each step, which costs a third of the speed (see bench/README.md).
"""

from distml.step.load_tensorflow import tf

import functools
from dataclasses import dataclass

import numpy as np

from distml.data.fashion_mnist import TRAIN_IMAGES, read_split
from distml.step.volume import Volume

SPLITS = {"train": f"train[:{TRAIN_IMAGES}]", "validation": f"train[{TRAIN_IMAGES}:]", "test": "test"}


@dataclass(frozen=True)
class Split:
    """images: uint8 [n, 28, 28, 1], 0 is black; labels: int64 [n]."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Share:
    """One worker's part of every global batch: `batch` images for worker `index` of `workers`."""

    batch: int
    workers: int = 1
    index: int = 0

    @property
    def global_batch(self) -> int:
        """Images in one training step over all workers."""
        return self.batch * self.workers

    def of(self, values: tf.Tensor) -> tf.Tensor:
        """Cut [steps * global_batch] into global batches and take this worker's part: [steps, batch]."""
        return tf.reshape(values, [-1, self.workers, self.batch])[:, self.index]


@functools.cache
def load(volume: Volume, name: str) -> Split:
    """One of `SPLITS`, whole, in its stored order; read once."""
    return Split(*read_split(volume.dataset, SPLITS[name]))


def load_first(volume: Volume, images: int) -> Split:
    """At most the first `images` of the split `train`; the others are not decoded."""
    return Split(*read_split(volume.dataset, f"train[:{min(images, TRAIN_IMAGES)}]"))


def steps_per_epoch(images: int, global_batch: int) -> int:
    """Whole global batches in an epoch; the images of the incomplete one are left out, other ones each epoch."""
    return images // global_batch


def training_batches(split: Split, share: Share, seed: int, first_epoch: int = 0) -> tf.data.Dataset:
    """This worker's part of endless global batches: epoch after epoch, in an order that (seed, epoch) alone decides.

    All workers compute the same order and each takes its own part of every global batch, so none needs to ask.

    Args:
        split: the images to train on.
        share: which part is this worker's.
        seed: of the order.
        first_epoch: where to begin; a resumed job continues in the order it would have had.

    Yields:
        images uint8 [batch, 28, 28, 1], labels int64 [batch].
    """
    steps = steps_per_epoch(len(split), share.global_batch)

    def batches_of(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(tf.range(len(split)), seed=[seed, epoch])
        return tf.data.Dataset.from_tensor_slices(share.of(order[: steps * share.global_batch]))

    indices = tf.data.Dataset.counter(first_epoch).flat_map(lambda epoch: batches_of(tf.cast(epoch, tf.int32)))
    images, labels = _constants(split)
    return _tuned(indices.map(lambda index: (tf.gather(images, index), tf.gather(labels, index))))


def evaluation_batches(split: Split, share: Share) -> tuple[tf.data.Dataset, int]:
    """This worker's part of a pass over every image, in stored order; the last batch is filled up with weight 0.

    Returns:
        A repeated data set of (images, labels, weights float32 [batch]), and its steps for one pass.
    """
    steps = -(-len(split) // share.global_batch)
    indices = tf.range(steps * share.global_batch)
    inside = indices < len(split)
    parts = (share.of(tf.where(inside, indices, 0)), share.of(tf.cast(inside, tf.float32)))
    images, labels = _constants(split)
    dataset = tf.data.Dataset.from_tensor_slices(parts)
    dataset = dataset.map(lambda index, weight: (tf.gather(images, index), tf.gather(labels, index), weight))
    return _tuned(dataset.repeat()), steps


def _constants(split: Split) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.device("/cpu:0"):
        return tf.constant(split.images), tf.constant(split.labels)


def _tuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.autotune.enabled = False  # there is nothing to tune, and an iterator's end would wait for the tuner to wake
    options.threading.private_threadpool_size = 1  # more threads take the core from the training step
    return dataset.prefetch(4).with_options(options)
