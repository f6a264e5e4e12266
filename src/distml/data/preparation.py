"""Preparation of the data set: tensorflow-datasets converts Fashion-MNIST's four files; `check` reads the result back.

Import this module only to prepare: it loads TensorFlow, which takes seconds.
"""

from distml.step.load_tensorflow import tf

import hashlib
import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.image_classification import FashionMNIST

from distml.data.fashion_mnist import FACTS, read_split
from distml.step import outcome
from distml.step.atomic_files import sha256_of_files

IMAGES = sum(FACTS["images"].values())
IMAGES_PER_CALL = 1000
# SHA-256 of each prepared split: all images, then all labels as bytes, in stored order.
SPLIT_SHA256 = {
    "train": "19faa12a185eeb69361fc4732f39bdd2d8d82f5047bca6722e85a0108c4a440f",
    "test": "320e58dbd12dca380eb95a82e15fb9642addff88548acf7c272d2be4fa17dcb9",
}


class NotPrepared(outcome.StepError):
    """TFDS failed on good files; a retry may succeed."""

    exit_status = 1


class FashionMnistFromFolder(FashionMNIST, skip_registration=True):  # type: ignore[call-arg]  # untyped base
    """TFDS's own builder, reading the four .gz files from a folder instead of the internet."""

    name = "fashion_mnist"

    def __init__(self, folder: Path, progress: Callable[[int, int], None] | None = None, **kwargs: Any):
        self._folder = folder
        self._progress = progress
        self._done = 0
        super().__init__(**kwargs)

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        local = _LocalFiles(self._folder, dl_manager)
        return super()._split_generators(local)

    def _generate_examples(self, *args: Any, **kwargs: Any) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield TFDS's examples with the same PNGs, encoded many in a call: a call per image doubles the total time."""
        examples = super()._generate_examples(*args, **kwargs)
        while chunk := list(itertools.islice(examples, IMAGES_PER_CALL)):
            images = tf.io.encode_png(np.stack([example["image"] for _, example in chunk])).numpy()
            for (key, example), png in zip(chunk, images, strict=True):
                yield key, {**example, "image": png}
            self._done += len(chunk)
            if self._progress:
                self._progress(self._done, IMAGES)

    def _log_download_bytes(self) -> None:
        """Suppress TFDS's line on stdout about a download of unknown size."""

    def _log_download_done(self) -> None:
        """Suppress TFDS's line on stdout about a folder that `prepare` removes."""


class _LocalFiles:
    """A stand-in for TFDS's download manager: the same file names, from a folder."""

    def __init__(self, folder: Path, dl_manager: tfds.download.DownloadManager):
        self._folder = folder
        self._dl_manager = dl_manager

    def download_and_extract(self, urls: dict[str, str]) -> dict[str, Path]:
        return self._dl_manager.extract({key: self._folder / Path(url).name for key, url in urls.items()})


def prepare(source: Path, folder: Path, progress: Callable[[int, int], None] | None = None) -> None:
    """Write both splits into `folder` as TFDS's own files.

    Args:
        source: a folder with the four .gz files, already checked.
        folder: an empty folder.
        progress: called with the number of finished images and of all images.

    Raises:
        NotPrepared: TFDS could not prepare the files.
        OSError: the disk is full or not writable.
    """
    tfds.disable_progress_bar()
    builder = FashionMnistFromFolder(source, progress, data_dir=folder / ".tfds")
    try:
        builder.download_and_prepare()
    except Exception as error:
        # TFDS passes on TensorFlow's exceptions, wrapped or not.
        raise outcome.disk_error_behind(error) or NotPrepared(
            f"Fashion-MNIST could not be prepared ({type(error).__name__}: {first_line(error)});"
            " run data ingestion again"
        ) from error
    for file in Path(builder.data_dir).iterdir():
        file.rename(folder / file.name)
    shutil.rmtree(folder / ".tfds")


def first_line(error: Exception) -> str:
    """Return the first line of an exception's message, at most 200 characters."""
    return (str(error).strip() or "no detail").splitlines()[0][:200]


def check(folder: Path) -> dict:
    """Read the prepared data back and compare it with the published Fashion-MNIST.

    Returns:
        The manifest: `data_sha256`, the number of images per split, class names, and the hash of each file.
    """
    names = list(tfds.builder_from_directory(folder).info.features["label"].names)
    splits = {}
    for name, expected in FACTS["images"].items():
        images, labels = read_split(folder, name)
        if images.shape != (expected, 28, 28, 1) or images.dtype != np.uint8:
            raise outcome.StepError(
                f"split {name} has {images.dtype}{list(images.shape)}, expected uint8[{expected}, 28, 28, 1];"
                " run data ingestion again"
            )
        counts = np.bincount(labels, minlength=len(names))
        if set(counts) != {expected // len(names)}:
            raise outcome.StepError(
                f"split {name} has {counts.tolist()} images per class, expected equal counts; run data ingestion again"
            )
        splits[name] = hashlib.sha256(images.tobytes() + labels.astype(np.uint8).tobytes()).hexdigest()
        if splits[name] != SPLIT_SHA256[name]:
            raise outcome.StepError(f"split {name} differs from the published Fashion-MNIST; run data ingestion again")
    return {
        "data_sha256": hashlib.sha256("".join(splits.values()).encode()).hexdigest(),
        "images": FACTS["images"],
        "class_names": names,
        "files": sha256_of_files(folder),
    }
