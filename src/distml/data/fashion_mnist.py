"""The data set on the volume, as tensorflow-datasets prepared it: reading splits, verifying files.

Only `read_split` loads TensorFlow; verifying does not need it.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from distml.step import outcome
from distml.step.atomic_files import sha256_of_files
from distml.step.volume import Volume, read_small

MANIFEST = "ingestion.json"
# Entries that every manifest must have, whatever the source of the data.
FACTS: dict[str, Any] = {
    "data_sha256": "1e8ce87441e819ca5509833a1a809fffc5851d03659b5619373dc13a0d7c154b",
    "images": {"train": 60_000, "test": 10_000},
    "class_names": [
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ],
}
# The other 5,000 images of TFDS's train split are only for validation.
TRAIN_IMAGES = 55_000
RECORDS_PER_BATCH = 2000


def read_split(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Read one split of a prepared data set into memory, in its stored order.

    Args:
        folder: TFDS's files and their `dataset_info.json`.
        split: in TFDS's notation, such as `train` or `train[:55000]`.

    Returns:
        images: uint8 [n, 28, 28, 1], 0 is black; labels: int64 [n], 0 to 9.
    """
    from distml.step.load_tensorflow import tf

    import tensorflow_datasets as tfds

    features = {"image": tf.io.FixedLenFeature([], tf.string), "label": tf.io.FixedLenFeature([], tf.int64)}

    def decode(records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Decode a batch: parsing one record at a time, as TFDS's own reader does, takes three times as long."""
        batch = tf.io.parse_example(records, features)
        image = tf.TensorSpec([28, 28, 1], tf.uint8)
        return tf.map_fn(lambda png: tf.io.decode_png(png, 1), batch["image"], fn_output_signature=image), batch[
            "label"
        ]

    options = tf.data.Options()
    options.autotune.enabled = False  # its thread delays the end of the iterator
    parts = []
    for file in tfds.builder_from_directory(folder).info.splits[split].file_instructions:
        records = tf.data.TFRecordDataset(file.filename).skip(file.skip).take(file.take).batch(RECORDS_PER_BATCH)
        parts += records.map(decode, num_parallel_calls=2).with_options(options).as_numpy_iterator()
    images, labels = zip(*parts, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def verified_manifest(volume: Volume) -> dict:
    """Return the data set's manifest after comparing it with `FACTS`, and each file with the manifest.

    Raises:
        StepError: nothing was ingested, or a file is missing or damaged.
    """
    path = volume.dataset / MANIFEST
    if not volume.dataset.exists():
        raise outcome.StepError(f"no data set in {volume.dataset}; run data ingestion first")
    state = "is damaged"
    try:
        manifest = json.loads(read_small(path))
        valid = manifest.items() >= FACTS.items() and isinstance(manifest["files"], dict)
    except (FileNotFoundError, NotADirectoryError):
        valid, state = False, "is missing"
    except (ValueError, RecursionError, AttributeError, KeyError):
        valid = False
    if not valid:
        raise outcome.StepError(f"{path} {state}; remove {volume.dataset} and run data ingestion")
    found = sha256_of_files(volume.dataset)
    for name, sha256 in manifest["files"].items():
        if found.get(name) != sha256:
            state = "is damaged" if name in found else "is missing"
            raise outcome.StepError(f"{volume.dataset / name} {state}; remove {volume.dataset} and run data ingestion")
    return manifest
