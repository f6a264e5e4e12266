"""Compare the test accuracy of trainings in float32 and bfloat16 over several seeds.

    python bench/seeds.py --volume ./trained_model

Trains the default winner, `batchnorm`, as `make run` does, on the data set of the volume, and evaluates each SavedModel
on the 10,000 test images. Prints the accuracies and writes bench/results/seeds.json.
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

HERE = Path(__file__).resolve().parent
SCRIPT = HERE.parent / "src" / "local_pipeline.py"
MODEL = "batchnorm"


def main(args: argparse.Namespace) -> None:
    accuracies: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        volume = Volume(Path(folder))
        volume.dataset.parent.symlink_to(Volume(args.volume).dataset.parent.resolve())
        for seed in range(1, args.seeds + 1):
            for taken in (precision.FLOAT32, precision.BFLOAT16):
                options = ["--models", MODEL, "--seed", seed, "--precision", taken, "--tolerance", 1]
                command = [sys.executable, SCRIPT, "--volume", folder, *options]
                subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
                report = json.loads((volume.report / "report.json").read_text())
                accuracies.setdefault(taken, []).append(report["test_accuracy"])
                print(f"seed {seed}, {taken}: test accuracy {report['test_accuracy']:.4f}", flush=True)
    write(accuracies)


def write(accuracies: dict[str, list[float]]) -> None:
    """Print and write the means, their difference and the accuracy of each seed."""
    means = {taken: statistics.fmean(values) for taken, values in accuracies.items()}
    figures = [
        {"name": f"test accuracy in {taken}, mean of the seeds", "value": round(mean, 4), "target": 0.915}
        for taken, mean in means.items()
    ]
    difference = means[precision.BFLOAT16] - means[precision.FLOAT32]
    figures.append({"name": "bfloat16 minus float32", "value": round(difference, 4), "target": -0.002})
    content = {"machine": this_machine.description(), "model": MODEL, "test_accuracy": accuracies, "ratios": figures}
    (HERE / "results" / "seeds.json").write_text(json.dumps(content, indent=2) + "\n")
    for figure in figures:
        print(f"{figure['name']:45} {figure['value']:8.4f}   target {figure['target']}")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--volume", type=Path, default=Path("./trained_model"), help="volume with the data set")
    parser.add_argument("--seeds", type=int, default=5, help="trainings in each precision")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main(parse_args())
