"""Batches of the prepared data set for each worker: splits, order, sharding.

The images of a split (43 MB) stay in memory. Only vectors of their indices are shuffled and batched: an epoch costs one
shuffle and each batch one gather, instead of work per image.

Each worker shards by itself and uses a plain tf.data iterator. The automatic way, `experimental_distribute_dataset`,
delays the end of each training by many seconds (see bench/README.md).
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
    """Images as uint8 [n, 28, 28, 1], where 0 is black, and labels as int64 [n]."""

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
        """Cut [steps * global_batch] into global batches and return this worker's share: [steps, batch]."""
        return tf.reshape(values, [-1, self.workers, self.batch])[:, self.index]


@functools.cache
def load(volume: Volume, name: str) -> Split:
    """Return one of `SPLITS` in its stored order; the cache reads each only once."""
    return Split(*read_split(volume.dataset, SPLITS[name]))


def load_first(volume: Volume, images: int) -> Split:
    """Return at most the first `images` of the split `train`, without decoding the others."""
    return Split(*read_split(volume.dataset, f"train[:{min(images, TRAIN_IMAGES)}]"))


def steps_per_epoch(images: int, global_batch: int) -> int:
    """Return the number of whole global batches in an epoch.

    The remaining images are left out, different ones each epoch.
    """
    return images // global_batch


def training_batches(split: Split, share: Share, seed: int, first_epoch: int = 0) -> tf.data.Dataset:
    """Return this worker's share of endless global batches, in an order that only the seed and the epoch decide.

    All workers compute the same order and take their own share of every global batch, without communication.

    Args:
        split: the images to train on.
        share: this worker's share.
        seed: the seed of the order.
        first_epoch: the first epoch; a resumed training gets the same batches as an uninterrupted one.

    Yields:
        images uint8 [batch, 28, 28, 1], labels int64 [batch].
    """
    steps = steps_per_epoch(len(split), share.global_batch)

    def batches_of(epoch: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(tf.range(len(split)), seed=[seed, epoch])
        return tf.data.Dataset.from_tensor_slices(share.of(order[: steps * share.global_batch]))

    indices = tf.data.Dataset.counter(first_epoch).flat_map(lambda epoch: batches_of(tf.cast(epoch, tf.int32)))
    images, labels = _constants(split)
    return _with_options(indices.map(lambda index: (tf.gather(images, index), tf.gather(labels, index))))


def evaluation_batches(split: Split, share: Share) -> tuple[tf.data.Dataset, int]:
    """Return this worker's share of a pass over all images in stored order; weight 0 marks padding of the last batch.

    Returns:
        A repeating tf.data.Dataset of (images, labels, weights float32 [batch]), and the number of batches in one pass.
    """
    steps = -(-len(split) // share.global_batch)
    indices = tf.range(steps * share.global_batch)
    inside = indices < len(split)
    parts = (share.of(tf.where(inside, indices, 0)), share.of(tf.cast(inside, tf.float32)))
    images, labels = _constants(split)
    dataset = tf.data.Dataset.from_tensor_slices(parts)
    dataset = dataset.map(lambda index, weight: (tf.gather(images, index), tf.gather(labels, index), weight))
    return _with_options(dataset.repeat()), steps


def _constants(split: Split) -> tuple[tf.Tensor, tf.Tensor]:
    with tf.device("/cpu:0"):
        return tf.constant(split.images), tf.constant(split.labels)


def _with_options(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.autotune.enabled = False  # nothing to tune, and its sleeping thread would delay an iterator's end
    options.threading.private_threadpool_size = 1  # more threads would compete with the training step
    return dataset.prefetch(4).with_options(options)
