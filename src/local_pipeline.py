"""Run the whole pipeline on this machine: ingest, train each model on real worker processes, select, publish, report.

    python src/local_pipeline.py --volume ./trained_model --workers 2

It starts the step scripts that the cluster starts, in the same order. What is finished is verified and reused.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fashion_mnist
import run_identity
import step
from local_gang import run_gang
from model_variants import MODELS
from multi_worker_distributed_training import parse_args as training_args
from multi_worker_distributed_training import settings_of

SOURCE = Path(__file__).resolve().parent


def main(args: argparse.Namespace) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # errors arrive as exceptions
    started = time.monotonic()
    heading("ingest")
    run_step("data_ingestion.py", "--volume", args.volume, "--source", args.source)
    options = (
        "--epochs",
        args.epochs,
        "--batch-per-worker",
        args.batch_per_worker,
        "--train-images",
        args.train_images,
    )
    run = args.run or default_run(args, options)
    for model in args.models:
        heading(f"train {model} on {args.workers} workers")
        script = "multi_worker_distributed_training.py"
        run_gang(command(script, "--volume", args.volume, "--model", model, "--run", run, *options), args.workers, 3)
    heading("select, publish, report")
    run_step("model_selection.py", "--volume", args.volume, "--run", run, "--accuracy-floor", args.accuracy_floor)
    print(f"whole run:       {time.monotonic() - started:.0f} s", flush=True)


def heading(text: str) -> None:
    print(f"\n== {text}", flush=True)


def command(script: str, *arguments: object) -> list[str]:
    return [sys.executable, str(SOURCE / script), *map(str, arguments)]


def run_step(script: str, *arguments: object) -> None:
    """Run a step script; its own message has been printed when it fails, and its status becomes ours."""
    status = subprocess.run(command(script, *arguments), check=False).returncode
    if status:
        sys.exit(status)


def default_run(args: argparse.Namespace, options: tuple) -> str:
    """The name that the training scripts would choose themselves."""
    training = training_args(["--model", args.models[0], *map(str, options)])
    settings = settings_of(training, args.workers)
    data = fashion_mnist.verified_manifest(args.volume)["data_sha256"]
    return run_identity.default_run(run_identity.identity_of(data, settings))


def models(text: str) -> list[str]:
    """An argparse type: names of the table of models, separated by commas or blanks."""
    names = list(dict.fromkeys(text.replace(",", " ").split()))
    unknown = sorted(set(names) - MODELS.keys())
    if unknown or not names:
        raise argparse.ArgumentTypeError(
            f"unknown model {', '.join(unknown) or '(none given)'}; choose from {', '.join(MODELS)}"
        )
    return names


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    defaults = training_args(["--model", next(iter(MODELS))])
    parser = step.argument_parser(__doc__.splitlines()[0])
    parser.add_argument("--workers", type=step.positive, default=2, help="worker processes per model")
    parser.add_argument("--epochs", type=step.positive, default=defaults.epochs, help="passes over the images")
    parser.add_argument("--batch-per-worker", type=step.positive, default=defaults.batch_per_worker, help="images")
    parser.add_argument("--train-images", type=step.positive, default=defaults.train_images, help="fewer: quick trial")
    parser.add_argument("--models", type=models, default=list(MODELS), help="which rows of the table to train")
    parser.add_argument("--source", default="auto", help="of the data: see data_ingestion.py")
    parser.add_argument("--run", type=run_identity.run_name, help="folder below runs/ (default: a hash)")
    parser.add_argument("--accuracy-floor", type=step.fraction, default=0.85, help="least validation accuracy")
    return parser.parse_args(argv)


if __name__ == "__main__":
    step.run(main, parse_args())
