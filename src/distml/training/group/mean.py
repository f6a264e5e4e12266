"""The mean over all workers of a training step's values: the all-reduce."""

from distml.step.load_tensorflow import tf

import itertools
from collections.abc import Sequence

# The largest group that gathers. Its traffic grows with the number of workers; that of the ring does not.
GATHER_UP_TO = 2
GROUP_KEY = 1000  # TensorFlow numbers its own groups from 1
_instance_keys = itertools.count(1)  # every worker builds the same graphs in the same order


def over_workers(values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Return the mean over all replicas of each value; to be called on a replica, while a graph is built.

    TensorFlow's all-reduce on CPUs is a ring: of two workers each waits for the other twice. In a small group every
    worker instead gets all values of all workers at once, and averages them itself. With two workers the bits are the
    same.
    """
    replica = tf.distribute.get_replica_context()
    workers = replica.num_replicas_in_sync
    if not 1 < workers <= GATHER_UP_TO or tf.config.list_logical_devices("GPU"):
        return replica.all_reduce(tf.distribute.ReduceOp.MEAN, values)
    flat = tf.concat([tf.reshape(value, [-1]) for value in values], axis=0)
    gathered = tf.raw_ops.CollectiveGatherV2(
        input=flat[tf.newaxis],
        group_size=workers,
        group_key=GROUP_KEY,
        instance_key=next(_instance_keys),
        ordering_token=[],
        communication_hint="ring",
    )
    mean = tf.add_n(tf.unstack(gathered, num=workers)) / workers
    parts = tf.split(mean, [value.shape.num_elements() for value in values])
    return [tf.reshape(part, value.shape) for part, value in zip(parts, values, strict=True)]
