"""A model with the same variables on all workers, and its synchronous training step."""

from distml.step.load_tensorflow import tf

from collections.abc import Iterator
from typing import Any

import keras

from distml.model import variants
from distml.step.volume import candidate_name
from distml.training.group import mean
from distml.training.optimizer import MeanGradientAdam, learning_rate_schedule
from distml.training.settings import Settings


class ReplicatedModel:
    """A network and its optimizer on all workers, with the group's training step and validation.

    Weights and dropout follow from the seed alone, whatever was trained before in this process.
    """

    def __init__(
        self, strategy: tf.distribute.Strategy, model: str, seed: int, settings: Settings, steps_per_epoch: int
    ):
        self.strategy = strategy
        self.name = candidate_name(model, seed)
        keras.backend.clear_session()  # saved layer names must not depend on the models trained before
        with strategy.scope():
            keras.utils.set_random_seed(seed)
            self.network = variants.build(model, settings.precision)
            self.optimizer = MeanGradientAdam(learning_rate_schedule(settings, steps_per_epoch))
            self.optimizer.build(self.network.trainable_variables)
        self._exported = variants.build(model)  # outside the strategy's scope

    @property
    def random_state(self) -> list[tf.Variable]:
        """The variables that random layers draw from; Keras does not save them in a network's checkpoint."""
        return [variable.value for variable in self.network.non_trainable_variables if not is_statistic(variable)]

    @tf.function
    def take_steps(self, batches: Iterator, steps: tf.Tensor) -> tf.Tensor:
        """Run `steps` training steps; return the sum of the mean losses of their global batches."""
        total = tf.zeros(())
        for _ in tf.range(steps):
            total += self._step(*next(batches))
        return total

    # A separate graph. The loop's graph has a cycle: when TensorFlow assigns operations to oneDNN, it may visit
    # MaxPoolGrad before MaxPool. MaxPoolGrad then gets a much slower kernel, in some workers of a group.
    @tf.function(experimental_attributes={"_noinline": True})
    def _step(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        loss = self.strategy.run(self._step_on_replica, args=(images, labels))
        return self.strategy.experimental_local_results(loss)[0]

    def _step_on_replica(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        network, replica = self.network, tf.distribute.get_replica_context()
        # Keras' random state is (seed, counter). With the same seed, all replicas would drop the same units.
        seed_shift = tf.stack([tf.cast(replica.replica_id_in_sync_group, tf.int64), 0])
        with tf.GradientTape() as tape:
            # Stateless, because BatchNorm would update its moving statistics on each replica separately.
            logits, state = network.stateless_call(
                network.trainable_variables,
                [v if is_statistic(v) else v + seed_shift for v in network.non_trainable_variables],
                images,
                training=True,
            )
            # The function, because the class divides by the number of replicas, which suits only summed gradients.
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True))
        gradients = tape.gradient(loss, [variable.value for variable in network.trainable_variables])
        statistics = [value for value in state if is_statistic(value)]
        # Everything at once: each exchange costs a round trip to every peer, whatever its size.
        mean_loss, *means = mean.over_workers([loss, *gradients, *statistics])
        self.optimizer.apply(means[: len(gradients)], network.trainable_variables)
        mean_statistics = iter(means[len(gradients) :])
        state = [next(mean_statistics) if is_statistic(value) else value - seed_shift for value in state]
        replica.merge_call(self._store, args=(state,))
        return mean_loss

    def _store(self, strategy: tf.distribute.Strategy, state: list[tf.Tensor]) -> None:
        """Assign the non-trainable variables, with the same values on every replica."""
        for variable, value in zip(self.network.non_trainable_variables, state, strict=True):
            strategy.extended.update(variable.value, lambda stored, new: stored.assign(new), args=(value,))

    def exported(self) -> keras.Sequential:
        """Return the network that is validated and exported: the current weights in float32, outside the strategy."""
        self._exported.set_weights(self.network.get_weights())
        return self._exported

    def count_correct(self, batches: Iterator, steps: tf.Tensor) -> tf.Tensor:
        """Count the images of `steps` batches, over all workers, that the exported model would classify correctly."""
        self.exported()
        return self._count(batches, steps)

    @tf.function
    def _count(self, batches: Iterator, steps: tf.Tensor) -> tf.Tensor:
        correct = tf.zeros(())
        for _ in tf.range(steps):
            counts = self.strategy.run(self._count_on_replica, args=next(batches))
            correct += self.strategy.reduce(tf.distribute.ReduceOp.SUM, counts, axis=None)
        return correct

    def _count_on_replica(self, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        predicted = tf.argmax(self._exported(images, training=False), axis=1)
        return tf.reduce_sum(tf.cast(predicted == labels, tf.float32) * weights)


def is_statistic(value: Any) -> bool:
    """Return whether a non-trainable value is a statistic of BatchNorm (float), not a random state (integer)."""
    return tf.as_dtype(value.dtype).is_floating
