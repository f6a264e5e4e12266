"""Fashion-MNIST as tensorflow-datasets prepared it on the volume: read whole, verified.

TensorFlow is loaded by the function that reads: verifying does without it.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

import step
from volume import Volume, sha256_of_files

MANIFEST = "ingestion.json"
# What every manifest must say of the data, whatever it was prepared from.
FACTS: dict[str, Any] = {
    "data_sha256": "1e8ce87441e819ca5509833a1a809fffc5851d03659b5619373dc13a0d7c154b",
    "images": {"train": 60_000, "test": 10_000},
    "class_names": [
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ],
}


def read_split(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Read one split of a prepared data set into memory, in its stored order.

    Args:
        folder: holds TFDS's files and their `dataset_info.json`.
        split: in TFDS's notation, such as `train` or `train[:55000]`.

    Returns:
        images: uint8 [n, 28, 28, 1], 0 is black; labels: int64 [n], 0 to 9.
    """
    import tensorflow_datasets as tfds

    dataset = tfds.builder_from_directory(folder).as_dataset(split=split, batch_size=-1, shuffle_files=False)
    batch = tfds.as_numpy(dataset)
    return batch["image"], batch["label"]


def class_names(folder: Path) -> list[str]:
    """The names of the classes, by label."""
    import tensorflow_datasets as tfds

    return list(tfds.builder_from_directory(folder).info.features["label"].names)


def verified_manifest(volume: Volume) -> dict:
    """The manifest of the data on the volume, after comparing it with `FACTS`, and each file with it.

    Raises:
        StepError: nothing was ingested, or a file is not as it was written.
    """
    path = volume.dataset / MANIFEST
    if not path.is_file():
        raise step.StepError(f"no data set in {volume.dataset}; run data ingestion first")
    try:
        manifest = json.loads(path.read_text())
        whole = manifest.items() >= FACTS.items() and isinstance(manifest["files"], dict)
    except (ValueError, AttributeError, KeyError):
        whole = False
    if not whole:
        raise step.StepError(f"{path} is damaged; remove {volume.dataset} and run data ingestion")
    found = sha256_of_files(volume.dataset)
    for name, sha256 in manifest["files"].items():
        if found.get(name) != sha256:
            state = "is damaged" if name in found else "is missing"
            raise step.StepError(f"{volume.dataset / name} {state}; remove {volume.dataset} and run data ingestion")
    return manifest
