"""Checkpoints of which some are damaged: the last that can be read is used."""

from distml.step.load_tensorflow import tf

from pathlib import Path

import keras
import numpy as np
import pytest

from distml.step import outcome
from distml.training.checkpoints import COLUMNS, Checkpoints
from support import damage


class Model:
    """A network of one layer, with what `Checkpoints` reads of a ReplicatedModel."""

    def __init__(self) -> None:
        self.strategy, self.name = tf.distribute.get_strategy(), "plain-seed1"
        self.network = keras.Sequential([keras.layers.Input([2]), keras.layers.Dense(2)])
        self.optimizer, self.random_state = tf.Module(), [tf.Variable([0, 0])]


def checkpoints_of(model: Model, folder: Path) -> Checkpoints:
    return Checkpoints(model, True, folder / "checkpoints", folder / "logs")  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the checkpoints of epochs 2 and 3, in which all weights are 2 and 3."""
    model = Model()
    checkpoints = checkpoints_of(model, tmp_path)
    for epoch in (1, 2, 3):
        model.network.set_weights([np.full_like(weight, epoch) for weight in model.network.get_weights()])
        checkpoints.record(**dict.fromkeys(COLUMNS, 0.0))
    return tmp_path


def restored(folder: Path) -> tuple[int, Model]:
    model = Model()
    epochs = checkpoints_of(model, folder).restore(epochs=4)
    assert {*np.concatenate([weight.ravel() for weight in model.network.get_weights()])} == {epochs}
    return epochs, model


def test_two_checkpoints_stay_and_the_last_is_used(folder: Path) -> None:
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"ckpt-2", "ckpt-3"}
    assert restored(folder)[0] == 3


@pytest.mark.parametrize("kind", damage.KINDS)
@pytest.mark.parametrize("name", ["checkpoint.index", "checkpoint.data-00000-of-00001"])
def test_after_a_damaged_checkpoint_the_one_before_is_used(folder: Path, name: str, kind: str) -> None:
    damage.damage(folder / "checkpoints/ckpt-3" / name, kind, seed=1)
    epochs, model = restored(folder)
    assert epochs == 2
    checkpoints = checkpoints_of(model, folder)
    checkpoints.restore(epochs=4)
    model.network.set_weights([np.full_like(weight, 3) for weight in model.network.get_weights()])
    checkpoints.record(**dict.fromkeys(COLUMNS, 0.0))
    assert restored(folder)[0] == 3


def test_without_a_readable_checkpoint_the_folder_is_named(folder: Path) -> None:
    for path in (folder / "checkpoints").glob("*/*.data*"):
        path.write_bytes(b"")
    with pytest.raises(
        outcome.StepError, match=r"no checkpoint in .*/checkpoints can be read; remove .* to start over"
    ):
        checkpoints_of(Model(), folder).restore(epochs=4)


def test_a_checkpoint_that_a_killed_chief_was_writing_is_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, seen = tf.train.Checkpoint.write, []

    def half_written(checkpoint: tf.train.Checkpoint, path: str) -> str:
        Path(f"{path}.index").touch()  # as TensorFlow does before it fills the file
        seen.append(checkpoints_of(Model(), tmp_path).restore(epochs=4))
        return write(checkpoint, path)

    monkeypatch.setattr(tf.train.Checkpoint, "write", half_written)
    checkpoints = checkpoints_of(Model(), tmp_path)
    for _ in range(2):
        checkpoints.record(**dict.fromkeys(COLUMNS, 0.0))
    assert seen == [0, 1]
