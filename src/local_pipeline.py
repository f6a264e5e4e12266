"""Run the whole pipeline on this machine: ingest, train each model on real worker processes, select, publish, report.

    python src/local_pipeline.py --volume ./trained_model --workers 2

The script starts the same step scripts as the cluster, in the same order. Finished work is verified and reused.
"""

import argparse
import signal
import subprocess
import sys
import time
from pathlib import Path

from distml.data import fashion_mnist, sources
from distml.model import names
from distml.publishing.selection import candidates, quality_gate
from distml.publishing.versions import signature
from distml.step import command_line, outcome
from distml.step.progress_bar import say
from distml.step.volume import hold_lock
from distml.training import precision, run_identity
from distml.training import settings as training_settings
from distml.training.group.local_launcher import check_workers, run_worker_group
from distml.training.settings import Settings

SOURCE = Path(__file__).resolve().parent
# Restarts of the worker group, for each candidate to train.
RESTARTS = 3


def main(args: argparse.Namespace) -> None:
    end_on_signals()
    check_workers(args.workers)
    settings = Settings.from_args(args, args.workers)
    with hold_lock(args.volume) as lock:
        if args.fresh:
            sources.where(args.source)  # raises, before anything is removed, if no source has the data set
            args.volume.clear()
            say(f"starting over: removed the pipeline's files from {args.volume}")
        run_all(args, settings, lock)


def run_all(args: argparse.Namespace, settings: Settings, lock: int) -> None:
    """Run all steps in order; their processes inherit the file descriptor `lock`."""
    started = time.monotonic()
    heading("ingest")
    run_step(lock, "data_ingestion.py", "--volume", args.volume, "--source", args.source)
    data_sha256 = fashion_mnist.verified_manifest(args.volume)["data_sha256"]
    settings = run_identity.with_recorded_precision(args.volume, args.run, data_sha256, settings)
    if settings.precision == precision.AUTO:
        settings = settings.with_precision(precision.of_this_machine())
    # The training script computes the same identity from its options.
    run, _ = run_identity.claim(args.volume, args.run, data_sha256, settings)
    models, seeds = ",".join(args.models), ("--seed", args.seed, "--seeds", args.seeds)
    heading(f"train {', '.join(args.models)} on {args.workers} workers in {settings.precision}")
    missing = candidates.unfinished(args.volume, run, args.models, command_line.seeds_of(args), announce=False)
    if missing:
        # One worker group trains all candidates: it loads TensorFlow and the images once. It skips the finished ones.
        script, options = "multi_worker_distributed_training.py", (*seeds, *settings.options())
        training = command(script, "--volume", args.volume, "--model", models, "--run", run, *options)
        run_worker_group(training, args.workers, RESTARTS * len(missing), [lock])
    else:
        say(f"every candidate is already trained in run {run}; the files verify")
    heading("select, publish, report")
    candidates_of_run = ("--run", run, "--models", models, *seeds)
    gate = quality_gate.options(args)
    signing = ("--signing-key", args.signing_key) if args.signing_key else ()
    run_step(lock, "model_selection.py", "--volume", args.volume, *candidates_of_run, *gate, *signing)
    say(f"whole run:       {time.monotonic() - started:.0f} s")


def end_on_signals() -> None:
    """End the script and its workers on SIGTERM, and on SIGHUP (the terminal was closed) unless nohup ignores it."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(
                number, lambda number, _: outcome.fail(f"ended by {signal.Signals(number).name}", 128 + number)
            )


def heading(text: str) -> None:
    """Print the title of the next part."""
    say(f"\n== {text}")


def command(script: str, *options: object) -> list[str]:
    """Return the command line that runs a step script with this Python."""
    return [sys.executable, str(SOURCE / script), *map(str, options)]


def run_step(lock: int, script: str, *options: object) -> None:
    """Run a step script. If it fails, exit with its status, without a message: the step has printed its own."""
    status = subprocess.run(command(script, *options), pass_fds=[lock], check=False).returncode
    if status < 0:
        outcome.fail(f"{script} was killed by {signal.Signals(-status).name}; its last output is above", 128 - status)
    if status:
        sys.exit(status)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.step_parser(__doc__.splitlines()[0])
    parser.add_argument("--workers", type=command_line.positive, default=2, help="worker processes in the group")
    training_settings.add_options(parser)
    parser.add_argument("--models", type=names.models, default=list(names.MODELS), help="the models to train")
    parser.add_argument(
        "--source", type=sources.source, default="auto", help="source of the data set: see data_ingestion.py --help"
    )
    parser.add_argument(
        "--run", type=command_line.run_name, help="name of the run, a folder below runs/ (default: a hash)"
    )
    quality_gate.add_options(parser)
    signature.add_signing_key(parser)
    parser.add_argument("--fresh", action="store_true", help="first remove all files of earlier runs from the volume")
    return parser.parse_args(argv)


if __name__ == "__main__":
    outcome.run(main, parse_args())
