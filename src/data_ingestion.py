"""Put Fashion-MNIST on the volume, once, in the format of tensorflow-datasets.

    python3 /data-ingestion.py --volume /trained_model

Training, selection and prediction read what this step prepared; none of them downloads.
"""

import argparse
import tempfile
import time
from pathlib import Path

from distml.data import sources
from distml.data.fashion_mnist import FACTS, MANIFEST, verified_manifest
from distml.step import command_line, outcome
from distml.step.atomic_files import folder_beside, make_folder, rename_folder, write_json
from distml.step.progress_bar import counting, say, working


def main(args: argparse.Namespace) -> None:
    # A training pod mounts this folder read-only. If it were missing, the kubelet would make it, for root.
    make_folder(args.volume.versions)
    if args.volume.dataset.exists():
        manifest = verified_manifest(args.volume)
        say(f"already there and verified: {describe(manifest)} in {args.volume.dataset}")
        return
    started = time.monotonic()
    with folder_beside(args.volume.dataset) as work:
        manifest = ingest(args.source, work)
        write_json(work / MANIFEST, manifest)
        first = rename_folder(work, args.volume.dataset)
    if not first:
        verified_manifest(args.volume)
        say(f"another ingestion finished first; its data set is verified: {args.volume.dataset}")
        return
    say(f"ingested {describe(manifest)} into {args.volume.dataset} in {time.monotonic() - started:.0f} s")


def ingest(source: str, work: Path) -> dict:
    """Get the four files from `source`, prepare them in the empty folder `work`, and return the manifest."""
    with folder_beside(Path(tempfile.gettempdir()) / "fashion-mnist") as fetched:
        with counting("fetching Fashion-MNIST", None, "B") as bar:
            files = sources.obtain(source, fetched, bar.reach)
        images = sum(FACTS["images"].values())
        say(f"preparing {images:,} images (about ten seconds)")
        with counting("preparing", images, "images") as bar:
            from distml.data import preparation  # here, so that a failing source is reported before TensorFlow loads

            preparation.prepare(files, work, bar.reach)
    with working("reading the images back"):
        return preparation.check(work)


def describe(manifest: dict) -> str:
    """Describe the data set in a few words: its sizes and the start of its hash."""
    images = manifest["images"]
    return f"Fashion-MNIST, {images['train']:,} + {images['test']:,} images, data {manifest['data_sha256'][:12]}"


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.step_parser(__doc__.splitlines()[0])
    parser.add_argument(
        "--source",
        type=sources.source,
        default="auto",
        help="auto (the first that works: the folder of Debian's installed package, a download, or that package fetched"
        " by apt-get without root), download, apt, or a folder with the four .gz files",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    outcome.run(main, parse_args())
