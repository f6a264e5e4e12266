"""Train models on all workers of the group, and write a candidate of each model to the volume.

    python3 /multi-worker-distributed-training.py --volume /trained_model --model batchnorm

Every worker of a TFJob or an Indexed Job runs this command, and the environment describes the group. Without a
description, the process is the only worker. After a crash, restart all workers: they resume from the last checkpoint.
"""

import argparse
from typing import Any

from distml.data import fashion_mnist
from distml.model import names
from distml.publishing.selection import candidates
from distml.step import command_line, outcome, progress_bar
from distml.training import failure_record, run_identity
from distml.training import settings as training_settings
from distml.training.group import agreement, tf_config, worker
from distml.training.group.tf_config import WorkerGroup
from distml.training.loop import TrainingJob, TrainingLoop
from distml.training.precision import AUTO
from distml.training.settings import Settings


def main(args: argparse.Namespace) -> None:
    worker.end_on_sigterm()
    data = fashion_mnist.verified_manifest(args.volume)
    group = tf_config.read()
    settings = Settings.from_args(args, group.size)
    settings = run_identity.with_recorded_precision(args.volume, args.run, data["data_sha256"], settings)
    if group.addresses:
        progress_bar.configure(f"worker {group.index}", draw=group.is_chief)
    job = None
    if settings.precision != AUTO:  # with nothing left to agree on, a finished job needs no peers, which may have ended
        job = claimed_job(args, data, group, settings)
        if not job.candidates:
            return
    with worker.ending_on_tensorflow_errors(group.index):
        watchdog = worker.Watchdog()
        strategy = worker.join_worker_group(group, watchdog, args.start_timeout)
        with watchdog.bound(args.stall_timeout, "agreeing on the precision"):
            precision = agreement.on_precision(strategy, settings.precision)
        if job is None:  # otherwise all workers agreed on the precision of this job
            agreed = settings.with_precision(precision)
            agreed = run_identity.claim_agreed(args.volume, args.run, data["data_sha256"], agreed)
            job = claimed_job(args, data, group, agreed)
        agreement.announce(job.settings.precision, group.index)
        loop = TrainingLoop(job, group, strategy, watchdog)
        for model, seed in job.candidates:
            loop.train_and_export(model, seed)


def claimed_job(args: argparse.Namespace, data: dict[str, Any], group: WorkerGroup, settings: Settings) -> TrainingJob:
    """Claim the run that these settings belong to; return the training of its unfinished candidates."""
    run, identity = run_identity.claim(args.volume, args.run, data["data_sha256"], settings)
    seeds = command_line.seeds_of(args)
    missing = candidates.unfinished(args.volume, run, args.model, seeds, announce=group.is_chief)
    return TrainingJob(args.volume, run, missing, settings, identity, data["class_names"], args.stall_timeout)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.step_parser(__doc__.splitlines()[0])
    parser.add_argument("--model", type=names.models, required=True, help="names of models to train, one after another")
    parser.add_argument(
        "--run",
        type=command_line.run_name,
        help="name of the run, a folder below runs/ (default: a hash of data, settings, code and software)",
    )
    training_settings.add_options(parser)
    parser.add_argument(
        "--start-timeout", type=command_line.positive, default=300, help="seconds for all workers to start"
    )
    parser.add_argument(
        "--stall-timeout",
        type=command_line.positive,
        default=180,
        help="seconds without progress before the worker ends",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    failure_record.start_recording()  # before parsing: wrong arguments are recorded too
    outcome.run(main, parse_args())
