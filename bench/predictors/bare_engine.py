"""Call the engine in a loop, without a server, and print its images/s as JSON.

python bench/predictors/bare_engine.py ./trained_model/saved_model_versions/1 64
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from distml.model.lite_engine import LiteEngine
from distml.publishing.versions.version_files import LITE_MODEL

SECONDS = 2


def main(version: Path, images_at_once: int) -> None:
    images = np.random.default_rng(1).integers(0, 256, (images_at_once, 28, 28, 1), np.uint8)
    engine = LiteEngine(version / LITE_MODEL)
    engine(images)
    calls, started = 0, time.perf_counter()
    while (seconds := time.perf_counter() - started) < SECONDS:
        engine(images)
        calls += 1
    print(json.dumps({"images_per_second": calls * images_at_once / seconds}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
