"""Checkpoints after each epoch, with the training history inside, and TensorBoard's logs."""

from distml.step.load_tensorflow import tf

import shutil
from pathlib import Path
from typing import Any

from distml.step import outcome
from distml.step.atomic_files import make_folder
from distml.step.progress_bar import say
from distml.training.group import agreement
from distml.training.replicated_model import ReplicatedModel

COLUMNS = ("loss", "validation_accuracy", "learning_rate", "images_per_second", "seconds")
KEEP = 2


class Checkpoints:
    """Checkpoints and history of one model's training.

    Every worker reads the checkpoints. Only the chief writes them, since all workers have the same variables. The
    history is part of the checkpoint, so that a crash cannot separate it from the weights.
    """

    def __init__(self, model: ReplicatedModel, is_chief: bool, checkpoints: Path, logs: Path):
        self._strategy = model.strategy
        self._is_chief = is_chief
        self._name = model.name
        no_epochs = tf.zeros([0, len(COLUMNS)], tf.float64)
        self._history = tf.Variable(no_epochs, shape=[None, len(COLUMNS)], trainable=False)
        checkpoint = tf.train.Checkpoint(
            network=model.network,
            optimizer=model.optimizer,
            random=model.random_state,
            history=self._history,
        )
        self._manager = tf.train.CheckpointManager(checkpoint, str(checkpoints), max_to_keep=KEEP)
        self._checkpoints, self._logs = checkpoints, logs
        self._epochs = 0

    @property
    def history(self) -> list[dict[str, float]]:
        """One entry per finished epoch, with the keys `COLUMNS`; images_per_second excludes validation."""
        return [dict(zip(COLUMNS, row, strict=True)) for row in self._history.numpy().tolist()]

    def restore(self, epochs: int) -> int:
        """Load the last checkpoint on every worker; return the number of finished epochs."""
        path = self._manager.latest_checkpoint
        try:
            if path:
                self._manager.checkpoint.restore(path).assert_existing_objects_matched()
        except (tf.errors.OpError, AssertionError, ValueError) as error:
            raise outcome.StepError(
                f"checkpoint {path} cannot be read ({type(error).__name__}); remove {Path(path).parent} to start over"
            ) from error
        done = int(tf.shape(self._history)[0])
        all_done = agreement.values_of_all(self._strategy, done)
        if len(set(all_done)) > 1:
            raise outcome.StepError(
                f"the workers found checkpoints of different epochs ({all_done}); all must mount the same volume"
            )
        self._epochs = epochs
        if done and self._is_chief:
            say(f"{self._name}: resuming after epoch {done}/{epochs} from its checkpoint")
        return done

    def record(self, **values: float) -> None:
        """Save, log and print one more finished epoch; `values` has the keys `COLUMNS`."""
        row = tf.constant([[values[column] for column in COLUMNS]], tf.float64)
        self._history.assign(tf.concat([self._history, row], axis=0))
        if not self._is_chief:
            return
        epoch = int(tf.shape(self._history)[0])
        for folder in (self._checkpoints, self._logs):
            make_folder(folder)  # TensorFlow would make it with another mode
        self._manager.save(checkpoint_number=epoch)
        with tf.summary.create_file_writer(str(self._logs)).as_default():
            for name, value in values.items():
                tf.summary.scalar(name, value, step=epoch)
        say(
            f"{self._name}: epoch {epoch}/{self._epochs}  loss {values['loss']:.4f}"
            f"  validation accuracy {values['validation_accuracy']:.4f}  learning rate {values['learning_rate']:.5f}"
            f"  {values['images_per_second']:,.0f} images/s  {values['seconds']:.1f} s"
        )

    def remove_leftovers(self) -> None:
        """Remove what killed chiefs left beside the last checkpoints. TensorFlow never does."""
        kept = {Path(path).name for path in self._manager.checkpoints}
        for path in self._checkpoints.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != "checkpoint" and path.stem not in kept:
                path.unlink(missing_ok=True)

    def facts(self) -> dict[str, Any]:
        """Return the training's metrics for the manifest."""
        history = self.history
        seconds = sum(epoch["seconds"] for epoch in history)
        images = sum(epoch["seconds"] * epoch["images_per_second"] for epoch in history)
        return {
            "metrics": {
                "validation_accuracy": history[-1]["validation_accuracy"],
                "seconds": seconds,
                "images_per_second": images / seconds,
                "history": history,
            }
        }
