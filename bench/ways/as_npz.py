"""Write FOLDER/train.npz and FOLDER/validation.npz, for the benchmarks that run without TensorFlow.

python bench/ways/as_npz.py VOLUME FOLDER     # started by bench/training.py
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from distml.data import input_pipeline
from distml.step.volume import Volume


def main(volume: str, folder: str) -> None:
    for name in ("train", "validation"):
        split = input_pipeline.load(Volume(Path(volume)), name)
        np.savez(Path(folder) / f"{name}.npz", images=split.images, labels=split.labels.astype(np.int64))


if __name__ == "__main__":
    main(*sys.argv[1:])
