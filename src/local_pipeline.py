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

from distml.data import fashion_mnist, sources
from distml.model import names
from distml.publishing import candidates, quality_gate
from distml.step import command_line, outcome
from distml.step.progress_bar import say
from distml.step.volume import hold_lock
from distml.training import run_identity
from distml.training import settings as training_settings
from distml.training.local_launcher import check_workers, run_worker_group
from distml.training.settings import Settings

SOURCE = Path(__file__).resolve().parent
# How often all workers may be started again, for each model that is to be trained.
RESTARTS = 3


def main(args: argparse.Namespace) -> None:
    end_on_signals()
    check_workers(args.workers)
    settings = Settings.from_args(args, args.workers)
    with hold_lock(args.volume) as lock:
        if args.fresh:
            sources.where(args.source)  # before anything is removed: there is data to start over with
            args.volume.clear()
            say(f"starting over: what the pipeline kept in {args.volume} is removed")
        run_all(args, settings, lock)


def run_all(args: argparse.Namespace, settings: Settings, lock: int) -> None:
    """Run all steps in their order; their processes inherit the file descriptor `lock`."""
    started = time.monotonic()
    heading("ingest")
    run_step(lock, "data_ingestion.py", "--volume", args.volume, "--source", args.source)
    data_sha256 = fashion_mnist.verified_manifest(args.volume)["data_sha256"]
    # The training scripts, given the same options, will find the same identity.
    identity = run_identity.identity_of(data_sha256, settings)
    run = args.run or run_identity.default_run(identity)
    run_identity.claim_run(args.volume, run, identity)
    heading(f"train {', '.join(args.models)} on {args.workers} workers")
    missing = candidates.unfinished(args.volume, run, args.models)
    if missing:
        # One group of workers for all models: it loads TensorFlow and the images once.
        script, options = "multi_worker_distributed_training.py", settings.options()
        training = command(script, "--volume", args.volume, "--model", ",".join(missing), "--run", run, *options)
        run_worker_group(training, args.workers, RESTARTS * len(missing), [lock])
    heading("select, publish, report")
    choice = ("--run", run, "--models", ",".join(args.models))
    limits = ("--accuracy-floor", args.accuracy_floor, "--tolerance", args.tolerance)
    run_step(lock, "model_selection.py", "--volume", args.volume, *choice, *limits)
    say(f"whole run:       {time.monotonic() - started:.0f} s")


def end_on_signals() -> None:
    """End, and end the workers, on SIGTERM, and on SIGHUP when the terminal is closed (unless nohup ignores that)."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(
                number, lambda number, _: outcome.fail(f"ended by {signal.Signals(number).name}", 128 + number)
            )


def heading(text: str) -> None:
    """Print the title of the next part."""
    say(f"\n== {text}")


def command(script: str, *options: object) -> list[str]:
    """The command line of a step script, for this Python."""
    return [sys.executable, str(SOURCE / script), *map(str, options)]


def run_step(lock: int, script: str, *options: object) -> None:
    """Run a step script; its own message has been printed when it fails, and its status becomes ours."""
    status = subprocess.run(command(script, *options), pass_fds=[lock], check=False).returncode
    if status < 0:
        outcome.fail(f"{script} was killed by {signal.Signals(-status).name}; what it said last is above", 128 - status)
    if status:
        sys.exit(status)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.step_parser(__doc__.splitlines()[0])
    parser.add_argument("--workers", type=command_line.positive, default=2, help="worker processes per model")
    training_settings.add_options(parser)
    parser.add_argument("--models", type=names.models, default=list(names.MODELS), help="which ones to train")
    parser.add_argument("--source", type=sources.source, default="auto", help="of the data: see data_ingestion.py")
    parser.add_argument("--run", type=command_line.run_name, help="folder below runs/ (default: a hash)")
    quality_gate.add_options(parser)
    parser.add_argument("--fresh", action="store_true", help="first remove all that earlier runs left on the volume")
    return parser.parse_args(argv)


if __name__ == "__main__":
    outcome.run(main, parse_args())
