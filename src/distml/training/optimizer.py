"""The optimizer, and the schedule of its learning rate."""

from distml.step.load_tensorflow import tf

import keras

from distml.training.settings import Settings


def learning_rate_schedule(settings: Settings, steps_per_epoch: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return the schedule: linear warm-up from a tenth of the peak over half an epoch, then cosine decay to 0.

    Source: Loshchilov and Hutter 2016 (cosine), Goyal et al. 2017 (warm-up).
    """
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=settings.learning_rate / 10,
        warmup_target=settings.learning_rate,
        warmup_steps=steps_per_epoch // 2,
        decay_steps=settings.epochs * steps_per_epoch - steps_per_epoch // 2,
    )


class MeanGradientAdam(keras.optimizers.Adam):
    """Adam for gradients already averaged over all replicas; Keras' Adam would all-reduce them a second time."""

    def _all_reduce_sum_gradients(self, grads_and_vars: list[tuple[tf.Tensor, tf.Variable]]) -> list:
        return grads_and_vars
