"""Checkpoints after each epoch, with the training history inside, and TensorBoard's logs."""

from distml.step.load_tensorflow import tf

import shutil
from pathlib import Path
from typing import Any

from distml.step import outcome
from distml.step.atomic_files import folder_beside, make_folder, remove_folder, replace_folder
from distml.step.progress_bar import say
from distml.training.group import agreement
from distml.training.replicated_model import ReplicatedModel

# Each checkpoint has a folder of its own, which appears whole: TensorFlow writes several files, one after another.
FOLDER, FILES = "ckpt-", "checkpoint"
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
        self._checkpoint = tf.train.Checkpoint(
            network=model.network,
            optimizer=model.optimizer,
            random=model.random_state,
            history=self._history,
        )
        self._checkpoints, self._logs = checkpoints, logs
        self._epochs = 0

    @property
    def history(self) -> list[dict[str, float]]:
        """One entry per finished epoch, with the keys `COLUMNS`; images_per_second excludes validation."""
        return [dict(zip(COLUMNS, row, strict=True)) for row in self._history.numpy().tolist()]

    def restore(self, epochs: int) -> int:
        """Load the last checkpoint that can be read, on every worker; return the number of finished epochs.

        The names of the folders say which one is the last: a separate record of it could be damaged too.
        """
        found = self._saved()
        for epoch in reversed(found):
            path = self._folder(epoch)
            try:
                self._checkpoint.read(str(path / FILES)).assert_existing_objects_matched()
                break
            except Exception as error:  # of many kinds, such as IndexError for a file that was cut
                if self._is_chief:
                    say(f"{self._name}: checkpoint {path} cannot be read ({type(error).__name__})")
        else:
            if found:
                raise outcome.StepError(
                    f"no checkpoint in {self._checkpoints} can be read; remove {self._checkpoints} to start over"
                )
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
        self._save(epoch)
        with tf.summary.create_file_writer(str(self._logs)).as_default():
            for name, value in values.items():
                tf.summary.scalar(name, value, step=epoch)
        say(
            f"{self._name}: epoch {epoch}/{self._epochs}  loss {values['loss']:.4f}"
            f"  validation accuracy {values['validation_accuracy']:.4f}  learning rate {values['learning_rate']:.5f}"
            f"  {values['images_per_second']:,.0f} images/s  {values['seconds']:.1f} s"
        )

    def _folder(self, epoch: int) -> Path:
        return self._checkpoints / f"{FOLDER}{epoch}"

    def _saved(self) -> list[int]:
        """Return the epochs that have a checkpoint, in order."""
        names = [path.name.removeprefix(FOLDER) for path in self._checkpoints.glob(f"{FOLDER}*")]
        return sorted(int(name) for name in names if name.isdecimal())

    def _save(self, epoch: int) -> None:
        """Write the checkpoint of an epoch, in place of a damaged one, then remove all but the last `KEEP`."""
        target = self._folder(epoch)
        with folder_beside(target) as work:
            self._checkpoint.write(str(work / FILES))
            replace_folder(work, target)
        for saved in self._saved():
            if not epoch - KEEP < saved <= epoch:
                remove_folder(self._folder(saved))

    def remove_leftovers(self) -> None:
        """Remove what killed chiefs left beside the checkpoints."""
        kept = {self._folder(epoch) for epoch in self._saved()[-KEEP:]}
        for path in {*self._checkpoints.iterdir()} - kept:
            shutil.rmtree(path, ignore_errors=True)

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
