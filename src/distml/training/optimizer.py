"""The optimizer, and the schedule of its learning rate."""

from distml.step.load_tensorflow import tf

import keras

from distml.training.settings import Settings

# A large global batch has few steps per epoch. Fewer warm-up steps than this raise its high learning rate too fast.
LEAST_WARM_UP_STEPS = 100


def learning_rate_schedule(settings: Settings, steps_per_epoch: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Return the schedule: linear warm-up from a tenth of the peak, then cosine decay to 0.

    `settings.peak_learning_rate` has the peak. Source: Loshchilov and Hutter 2016 (cosine), Goyal et al. 2017
    (warm-up).
    """
    all_steps = settings.epochs * steps_per_epoch
    warm_up = warm_up_steps(all_steps, steps_per_epoch)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=settings.learning_rate / 10,
        warmup_target=settings.learning_rate,
        warmup_steps=warm_up,
        decay_steps=all_steps - warm_up,
    )


def warm_up_steps(all_steps: int, steps_per_epoch: int) -> int:
    """Return the steps of the warm-up: half an epoch, at least 100 steps, at most a quarter of the training."""
    return min(max(steps_per_epoch // 2, LEAST_WARM_UP_STEPS), all_steps // 4)


class MeanGradientAdam(keras.optimizers.Adam):
    """Adam for gradients already averaged over all replicas; Keras' Adam would all-reduce them a second time."""

    def _all_reduce_sum_gradients(self, grads_and_vars: list[tuple[tf.Tensor, tf.Variable]]) -> list:
        return grads_and_vars
