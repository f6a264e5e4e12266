"""Run the whole pipeline on this machine: ingest, train each model on real worker processes, select, publish, report.

    python src/local_pipeline.py --volume ./trained_model --workers 2

It starts the step scripts that the cluster starts, in the same order. What is finished is verified and reused.
"""

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

import tensorflow_options  # isort: skip  # noqa: F401

import arguments
import fashion_mnist
import run_identity
import step
from local_gang import alone_on, run_gang
from model_variants import MODELS, models
from multi_worker_distributed_training import is_finished, settings_of, train_images
from multi_worker_distributed_training import parse_args as training_args

SOURCE = Path(__file__).resolve().parent


def main(args: argparse.Namespace) -> None:
    end_on_signals()
    with alone_on(args.volume) as lock:
        if args.fresh:
            args.volume.clear()
            print(f"starting over: what the pipeline kept in {args.volume} is removed", flush=True)
        run_all(args, lock)


def run_all(args: argparse.Namespace, lock: int) -> None:
    """All steps, in their order; `lock`: the file descriptor that their processes inherit."""
    started = time.monotonic()
    heading("ingest")
    run_step(lock, "data_ingestion.py", "--volume", args.volume, "--source", args.source)
    options = (
        "--epochs",
        args.epochs,
        "--batch-per-worker",
        args.batch_per_worker,
        "--train-images",
        args.train_images,
    )
    identity = identity_of(args, options)
    run = args.run or run_identity.default_run(identity)
    run_identity.claim_run(args.volume, run, identity)
    for model in args.models:
        heading(f"train {model} on {args.workers} workers")
        if is_finished(args.volume.candidate(run, model), speaks=False):  # worker 0 names one that is damaged
            print(f"{model}: already trained in run {run}; its files verify", flush=True)
            continue
        script = "multi_worker_distributed_training.py"
        training = command(script, "--volume", args.volume, "--model", model, "--run", run, *options)
        run_gang(training, args.workers, 3, [lock])
    heading("select, publish, report")
    choice = ("--run", run, "--models", ",".join(args.models))
    limits = ("--accuracy-floor", args.accuracy_floor, "--tolerance", args.tolerance)
    run_step(lock, "model_selection.py", "--volume", args.volume, *choice, *limits)
    print(f"whole run:       {time.monotonic() - started:.0f} s", flush=True)


def end_on_signals() -> None:
    """End, and end the workers, on SIGTERM, and on SIGHUP when the terminal is closed (unless nohup ignores that)."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: step.fail(f"ended by {signal.Signals(number).name}", 128 + number))


def heading(text: str) -> None:
    """Print the title of the next part."""
    print(f"\n== {text}", flush=True)


def command(script: str, *arguments: object) -> list[str]:
    """The command line of a step script, for this Python."""
    return [sys.executable, str(SOURCE / script), *map(str, arguments)]


def run_step(lock: int, script: str, *arguments: object) -> None:
    """Run a step script; its own message has been printed when it fails, and its status becomes ours."""
    status = subprocess.run(command(script, *arguments), pass_fds=[lock], check=False).returncode
    if status:
        sys.exit(status)


def identity_of(args: argparse.Namespace, options: tuple) -> dict:
    """The identity that the training scripts, given these options, will find themselves."""
    training = training_args(["--model", args.models[0], *map(str, options)])
    data = fashion_mnist.verified_manifest(args.volume)["data_sha256"]
    return run_identity.identity_of(data, settings_of(training, args.workers))


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    defaults = training_args(["--model", next(iter(MODELS))])
    parser = arguments.step_parser(__doc__.splitlines()[0])
    parser.add_argument("--workers", type=arguments.positive, default=2, help="worker processes per model")
    parser.add_argument("--epochs", type=arguments.positive, default=defaults.epochs, help="passes over the images")
    parser.add_argument("--batch-per-worker", type=arguments.positive, default=defaults.batch_per_worker, help="images")
    parser.add_argument("--train-images", type=train_images, default=defaults.train_images, help="fewer: a trial")
    parser.add_argument("--models", type=models, default=list(MODELS), help="which rows of the table to train")
    parser.add_argument("--source", default="auto", help="of the data: see data_ingestion.py")
    parser.add_argument("--run", type=run_identity.run_name, help="folder below runs/ (default: a hash)")
    arguments.add_limits(parser)
    parser.add_argument("--fresh", action="store_true", help="first remove all that earlier runs left on the volume")
    return parser.parse_args(argv)


if __name__ == "__main__":
    step.run(main, parse_args())
