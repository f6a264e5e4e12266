"""Measure the test accuracy over several seeds: in each precision, and at growing global batches.

    python bench/accuracy.py --volume ./trained_model

Trains the default winner, `batchnorm`, as `make run` does, on the data set of the volume, and evaluates each SavedModel
on the 10,000 test images. Prints the accuracies and writes bench/results/accuracy.json.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import this_machine

from distml.step.volume import Volume
from distml.training import precision
from distml.training.settings import peak_learning_rate

HERE = Path(__file__).resolve().parent
SCRIPT = HERE.parent / "src" / "local_pipeline.py"
MODEL = "batchnorm"
WORKERS = 2
DEFAULT_BATCH, DEFAULT_EPOCHS = 128, 4
# Epochs for each global batch. A larger batch takes fewer steps per epoch, so in the end it needs more epochs.
EPOCHS = {DEFAULT_BATCH: DEFAULT_EPOCHS, 256: 4, 512: 4, 1024: 4, 2048: 8}
TARGETS = {"seed": 0.915, "batch": 0.91, "bfloat16 minus float32": -0.002}


def main(args: argparse.Namespace) -> None:
    precisions = [precision.FLOAT32, *([precision.BFLOAT16] if precision.has_instructions() else [])]
    default = precisions[-1]
    with tempfile.TemporaryDirectory() as folder:
        volume = Volume(Path(folder))
        volume.dataset.parent.symlink_to(Volume(args.volume).dataset.parent.resolve())
        by_precision = {taken: accuracies(volume, args.seeds, DEFAULT_BATCH, taken) for taken in precisions}
        larger = [batch for batch in EPOCHS if batch != DEFAULT_BATCH]
        by_batch = {DEFAULT_BATCH: by_precision[default]}
        by_batch |= {batch: accuracies(volume, args.seeds, batch, default) for batch in larger}
    write(by_precision, by_batch, default)


def accuracies(volume: Volume, seeds: int, global_batch: int, taken: str) -> list[float]:
    """Return the test accuracy of one training per seed."""
    return [test_accuracy(volume, seed, global_batch, taken) for seed in range(1, seeds + 1)]


def test_accuracy(volume: Volume, seed: int, global_batch: int, taken: str) -> float:
    """Train with the default learning rate of this global batch, and return the test accuracy from the report."""
    options = ["--models", MODEL, "--seed", seed, "--precision", taken, "--tolerance", 1, "--workers", WORKERS]
    options += ["--batch-per-worker", global_batch // WORKERS, "--epochs", EPOCHS[global_batch]]
    command = [sys.executable, SCRIPT, "--volume", volume.root, *options]
    subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    accuracy = json.loads((volume.report / "report.json").read_text())["test_accuracy"]
    print(f"global batch {global_batch}, seed {seed}, {taken}: test accuracy {accuracy:.4f}", flush=True)
    return accuracy


def write(by_precision: dict[str, list[float]], by_batch: dict[int, list[float]], default: str) -> None:
    """Print and write the accuracies, their means and the difference of the precisions."""
    means = {taken: statistics.fmean(values) for taken, values in by_precision.items()}
    figures = [figure(f"test accuracy in {taken}, mean", mean, TARGETS["seed"]) for taken, mean in means.items()]
    if len(means) > 1:
        name = "bfloat16 minus float32"
        figures.append(figure(name, means[precision.BFLOAT16] - means[precision.FLOAT32], TARGETS[name]))
    figures += [figure(f"global batch {batch}, least", min(by_batch[batch]), TARGETS["batch"]) for batch in by_batch]
    batches = [
        {
            "global_batch": batch,
            "learning_rate": peak_learning_rate(batch),
            "epochs": EPOCHS[batch],
            "test_accuracy": values,
        }
        for batch, values in by_batch.items()
    ]
    content = {"machine": this_machine.description(), "model": MODEL, "test_accuracy": by_precision}
    content |= {"precision_of_batches": default, "batches": batches, "ratios": figures}
    (HERE / "results" / "accuracy.json").write_text(json.dumps(content, indent=2) + "\n")
    for entry in figures:
        print(f"{entry['name']:45} {entry['value']:8.4f}   target {entry['target']}")


def figure(name: str, value: float, target: float) -> dict[str, str | float]:
    return {"name": name, "value": round(value, 4), "target": target}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--volume", type=Path, default=Path("./trained_model"), help="volume with the data set")
    parser.add_argument("--seeds", type=int, default=5, help="trainings in each precision and at each batch")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main(parse_args())
