"""Put Fashion-MNIST on the volume, once, in the format of tensorflow-datasets.

    python3 /data-ingestion.py --volume /trained_model

Training, selection and prediction read what this step prepared; none of them downloads.
"""

import argparse
import errno
import gzip
import hashlib
import shutil
import time
import zlib
from pathlib import Path

import tensorflow_options  # isort: skip  # noqa: F401

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

import arguments
import step
from fashion_mnist import FACTS, FILES, MANIFEST, FashionMnistFromFolder, class_names, read_split, verified_manifest
from volume import folder_beside, rename_folder, sha256_of_files, write_json

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
# What says that this machine's disk, not the source, ended an ingestion.
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES)

# SHA-256 of the decompressed idx files. The .gz files differ between distributions of the same data.
CONTENT_SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
# SHA-256 of each prepared split: all images, then all labels as bytes, in the order in which they are read.
SPLIT_SHA256 = {
    "train": "19faa12a185eeb69361fc4732f39bdd2d8d82f5047bca6722e85a0108c4a440f",
    "test": "320e58dbd12dca380eb95a82e15fb9642addff88548acf7c272d2be4fa17dcb9",
}


class NotObtained(step.StepError):
    """The data could not be had, such as for want of a network: another attempt may work."""

    exit_status = 1


def main(args: argparse.Namespace) -> None:
    if args.volume.dataset.exists():
        manifest = verified_manifest(args.volume)
        print(f"already there and verified: {describe(manifest)} in {args.volume.dataset}")
        return
    started = time.monotonic()
    with folder_beside(args.volume.dataset) as work:
        prepare(args.source, work)
        manifest = check(work)
        write_json(work / MANIFEST, manifest)
        first = rename_folder(work, args.volume.dataset)
    if not first:
        verified_manifest(args.volume)
        print(f"another ingestion finished first; its data verifies: {args.volume.dataset}")
        return
    print(f"ingested {describe(manifest)} into {args.volume.dataset} in {time.monotonic() - started:.0f} s")


def prepare(source: str, folder: Path) -> None:
    """Write both splits into `folder` as TFDS's own files, from `auto`, `download` or a folder with .gz files.

    Raises:
        StepError: the source is not what it should be.
        NotObtained: TFDS could not download or prepare it.
        OSError: the disk is full, or not writable.
    """
    local = DEBIAN_FOLDER if source == "auto" else Path(source)
    if source != "download" and local.is_dir():
        print(f"reading Fashion-MNIST from {local}", flush=True)
        check_files(local)
        builder = FashionMnistFromFolder(local, data_dir=folder / ".tfds")
    else:
        print("downloading Fashion-MNIST through tensorflow-datasets", flush=True)
        builder = tfds.builder("fashion_mnist", data_dir=folder / ".tfds")
    tfds.disable_progress_bar()
    print("preparing 70,000 images (about half a minute)", flush=True)
    try:
        builder.download_and_prepare()
    except Exception as error:
        # TFDS passes on, wrapped or not, whatever its transport and TensorFlow raise.
        raise disk_error(error) or NotObtained(
            f"Fashion-MNIST could not be had ({type(error).__name__}: {first_line(error)}); either connect this machine"
            " to the internet, or install the Debian package dataset-fashion-mnist, or pass --source FOLDER with"
            f" {', '.join(FILES.values())}"
        ) from error
    for file in Path(builder.data_dir).iterdir():
        file.rename(folder / file.name)
    shutil.rmtree(folder / ".tfds")


def disk_error(error: BaseException | None) -> OSError | None:
    """The error of this machine's disk that led to `error`, if one did; TensorFlow has exceptions of its own for it."""
    while error:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            return error
        if isinstance(error, tf.errors.ResourceExhaustedError | tf.errors.PermissionDeniedError):
            return OSError(error.message)
        error = error.__cause__ or error.__context__
    return None


def first_line(error: Exception) -> str:
    """What an exception says, as one line of at most 200 characters."""
    return (str(error).strip() or "no detail").splitlines()[0][:200]


def check_files(folder: Path) -> None:
    """Compare the decompressed content of the four files with the published data set."""
    for name in FILES.values():
        path = folder / name
        if not path.is_file():
            raise step.StepError(f"{path} is missing; expected the four files {', '.join(FILES.values())}")
        digest = hashlib.sha256()
        try:
            with gzip.open(path) as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except (OSError, EOFError, zlib.error) as error:
            raise step.StepError(f"{path} cannot be decompressed ({error}); fetch it again") from error
        if digest.hexdigest() != CONTENT_SHA256[path.stem]:
            raise step.StepError(f"{path} does not hold Fashion-MNIST's content (SHA-256 differs); fetch it again")


def check(folder: Path) -> dict:
    """Read the prepared data back and compare it with what Fashion-MNIST is.

    Returns:
        The manifest: `data_sha256`, the number of images per split, class names, and the hash of each file.
    """
    names, splits = class_names(folder), {}
    for name, expected in FACTS["images"].items():
        images, labels = read_split(folder, name)
        if images.shape != (expected, 28, 28, 1) or images.dtype != np.uint8:
            raise step.StepError(
                f"split {name} holds {images.dtype}{list(images.shape)}, expected uint8[{expected}, 28, 28, 1];"
                " remove it and ingest again"
            )
        counts = np.bincount(labels, minlength=len(names))
        if set(counts) != {expected // len(names)}:
            raise step.StepError(f"split {name} has {counts.tolist()} images per class, expected equal counts")
        splits[name] = hashlib.sha256(images.tobytes() + labels.astype(np.uint8).tobytes()).hexdigest()
        if splits[name] != SPLIT_SHA256[name]:
            raise step.StepError(f"split {name} differs from the published Fashion-MNIST; remove it and ingest again")
    return {
        "data_sha256": hashlib.sha256("".join(splits.values()).encode()).hexdigest(),
        "images": FACTS["images"],
        "class_names": names,
        "files": sha256_of_files(folder),
    }


def describe(manifest: dict) -> str:
    """The data set in a few words: its sizes, and the start of its hash."""
    images = manifest["images"]
    return f"Fashion-MNIST, {images['train']:,} + {images['test']:,} images, data {manifest['data_sha256'][:12]}"


def source(text: str) -> str:
    """An argparse type: `auto`, `download`, or a folder that is there."""
    if text not in ("auto", "download") and not Path(text).expanduser().is_dir():
        raise argparse.ArgumentTypeError(
            f"{text!r} is no folder; give auto, download or a folder with the four .gz files"
        )
    return str(Path(text).expanduser())


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = arguments.step_parser(__doc__.splitlines()[0])
    parser.add_argument(
        "--source",
        type=source,
        default="auto",
        help="auto (the folder of Debian's package, else a download), download, or a folder with the four .gz files",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    step.run(main, parse_args())
