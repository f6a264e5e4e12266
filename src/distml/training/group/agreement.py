"""The agreement of all workers of a group: on the precision before they train, and on the weights afterwards."""

from distml.step.load_tensorflow import tf

import hashlib

import keras

from distml.step import machine, outcome
from distml.step.progress_bar import say
from distml.training import precision
from distml.training.precision import AUTO, BFLOAT16, FLOAT32

WANTED = (AUTO, FLOAT32, BFLOAT16)


def on_precision(strategy: tf.distribute.Strategy, wanted: str) -> str:
    """Return the precision in which all workers train.

    Args:
        strategy: the strategy that connects the workers.
        wanted: the precision that this worker's command line or the run's record names, or `AUTO`: bfloat16 if every
            worker's machine takes it, else float32.

    Raises:
        StepError: the workers' command lines name different precisions.
    """
    named = {WANTED[number] for number in values_of_all(strategy, WANTED.index(wanted))} - {AUTO}
    everywhere = all(values_of_all(strategy, precision.of_this_machine() == BFLOAT16))
    if len(named) > 1:
        raise outcome.StepError(
            f"the workers were started with different precisions ({', '.join(sorted(named))}); give all the same"
            " --precision"
        )
    return named.pop() if named else BFLOAT16 if everywhere else FLOAT32


def announce(taken: str, worker_index: int) -> None:
    """Print the precision of the training, on the chief, and on a worker that will be slow in it."""
    warning = ""
    if taken == BFLOAT16 and not precision.has_instructions() and not tf.config.list_physical_devices("GPU"):
        warning = ": the run's precision, but this processor has no instructions for it and will be slow"
    if warning or worker_index == 0:
        say(f"worker {worker_index}: training in {taken} on {machine.instruction_set()}{warning}")


def on_weights(strategy: tf.distribute.Strategy, name: str, network: keras.Model, worker_index: int) -> None:
    """Raise StepError unless every worker has the same weights and BatchNorm statistics, bit for bit."""
    sha256 = hashlib.sha256(b"".join(weight.tobytes() for weight in network.get_weights())).hexdigest()
    say(f"worker {worker_index}: {name}: weights sha256 {sha256}")
    if len(set(values_of_all(strategy, int(sha256[:15], 16)))) > 1:
        raise outcome.StepError("the workers ended with different weights; this is a bug, please report it")


def values_of_all(strategy: tf.distribute.Strategy, value: int) -> list[int]:
    """Exchange one int64 per worker and return those of all workers. The exchange is also a barrier."""
    return _gather(strategy, tf.constant([value], tf.int64)).numpy().tolist()


@tf.function
def _gather(strategy: tf.distribute.Strategy, value: tf.Tensor) -> tf.Tensor:
    def from_all(value: tf.Tensor) -> tf.Tensor:
        return tf.distribute.get_replica_context().all_gather(tf.identity(value), axis=0)

    return strategy.experimental_local_results(strategy.run(from_all, args=(value,)))[0]
