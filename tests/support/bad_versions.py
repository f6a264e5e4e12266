"""Versions of the kinds that a guarded predictor must release or reject, made from a version that answers.

Each is a real version: a SavedModel, converted by the project, with its own answers to its reference images.

    PYTHONPATH=src:tests python -m support.bad_versions ./trained_model wrong
"""

from distml.step.load_tensorflow import tf

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from distml.model import manifest, saved_model
from distml.publishing.versions import conversion, folders
from distml.publishing.versions.history import History
from distml.publishing.versions.version_files import LITE_MODEL
from distml.step.atomic_files import copy_folder, folder_beside, rename_folder
from distml.step.volume import Volume

# The class that a wrong version never recognises, and the one that it answers in its place.
WRONG, INSTEAD = "Trouser", "Dress"
# The first pixel of an image on which the engine of a raising version fails. It is at most 16 in the data set.
POISON = 255


class Right(tf.Module):
    """The network of a published version, as another version has it."""

    def __init__(self, base: Path):
        super().__init__()
        self._model, self._manifest = saved_model.load(base)
        self.class_names: list[str] = self._manifest["class_names"]

    def __call__(self, images: tf.Tensor, training: bool) -> tf.Tensor:
        """Return the logits of images, uint8 [n, 28, 28, 1]."""
        return tf.math.log(self.probabilities(images) + 1e-30)

    def probabilities(self, images: tf.Tensor) -> tf.Tensor:
        return self._model.signatures["serving_arrays"](images=images)["probabilities"]


class Wrong(Right):
    """A network that answers wrongly for one class."""

    def probabilities(self, images: tf.Tensor) -> tf.Tensor:
        of_class = np.eye(len(self.class_names), dtype=np.float32)
        of_class[self.class_names.index(WRONG)] = of_class[self.class_names.index(INSTEAD)]
        return super().probabilities(images) @ of_class


class Slow(Right):
    """A network that classifies each image three times."""

    def probabilities(self, images: tf.Tensor) -> tf.Tensor:
        three = super().probabilities(tf.tile(images, [3, 1, 1, 1]))
        return tf.reduce_mean(tf.reshape(three, [3, -1, len(self.class_names)]), axis=0)


class Raising(Right):
    """A network with an index that is out of range for an image whose first pixel is `POISON`."""

    def probabilities(self, images: tf.Tensor) -> tf.Tensor:
        index = tf.cast(images[:, 0, 0, 0], tf.int32) // POISON
        return super().probabilities(images) + tf.gather(tf.zeros([1, 1]), index)


KINDS = {"right": Right, "wrong": Wrong, "slow": Slow, "raising": Raising, "damaged": Right}


def build(volume: Volume, kind: str, base: Path, folder: Path) -> Path:
    """Write a version of this kind, without a number, into `folder`; return `folder`.

    Args:
        volume: the volume with the data set.
        kind: a key of `KINDS`. A damaged version is damaged when it is offered.
        base: the folder of the version from which it is made.
        folder: a new folder.
    """
    network: Any = KINDS[kind](base)
    saved_model.export(network, network.class_names, folder)
    facts = {"model": manifest.read(base)["model"], "class_names": network.class_names, "kind": kind}
    model = tf.saved_model.load(folder)
    manifest.write(folder, {**facts, **conversion.add(folder, model, volume)})
    return folder


def offer(volume: Volume, built: Path, damage: bool = False) -> int:
    """Copy a built version to the next number of the volume, as by hand, without a record; return the number."""
    number = folders.next_number(volume, History(volume.versions).state())
    with folder_beside(volume.version(number)) as work:
        copy_folder(built, work)
        manifest.write(work, {**manifest.read(work), "version": number})
        if damage:
            flip_a_byte(work / LITE_MODEL)
        rename_folder(work, volume.version(number))
    return number


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def publish(volume: Volume, kind: str) -> int:
    """Make a version of this kind from the newest that the pipeline published, and offer it; return its number."""
    offered = folders.offered(volume.versions, History(volume.versions).state())
    base = next(number for number in reversed(offered) if "kind" not in manifest.read(volume.version(number)))
    with tempfile.TemporaryDirectory() as folder:
        built = build(volume, kind, volume.version(base), Path(folder) / kind)
        return offer(volume, built, damage=kind == "damaged")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("volume", type=Path, help="volume with the data set and a published version")
    parser.add_argument("kind", choices=KINDS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    args = parse_args()
    print(publish(Volume(args.volume), args.kind))
