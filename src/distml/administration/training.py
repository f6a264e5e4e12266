"""The subcommand `end-training`: end a workflow's TFJobs."""

import argparse
from datetime import datetime

from distml.model import names
from distml.step import command_line, outcome


def end_training(args: argparse.Namespace) -> None:
    """Run `end-training`."""
    if args.explain_failure and not args.model:
        raise outcome.StepError("--explain-failure needs --model; see end-training --help")
    if (args.model is None) != (args.seed is None):
        raise outcome.StepError("--model and --seed need each other; see end-training --help")
    candidate = (args.model, args.seed) if args.model else None
    from distml.training.group import tfjobs  # here, because the Kubernetes client loads slowly

    tfjobs.end_training(args.volume, args.workflow, args.namespace, args.timeout, candidate, args.explain_failure)


def moment(text: str) -> datetime:
    """Parse a time with its zone (argparse type)."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time with a zone, expected one such as 2026-11-27T08:00:00Z"
        )
    return found


def add_end_training(subcommands: "command_line.Subcommands") -> None:
    """Add the options of `end-training`.

    A workflow runs end-training at its end, before retraining a model (`--model`, `--seed`), and after a failed TFJob
    (`--explain-failure`).
    """
    parser = subcommands.add_parser(
        "end-training",
        help="end a workflow's TFJobs and report why one failed",
        description="End the unfinished TFJobs of a workflow, and wait until none of their workers can write any more."
        " With --explain-failure, the subcommand fails too, and its message is the reason why the newest job failed.",
    )
    command_line.add_volume(parser)
    parser.add_argument(
        "--workflow", type=command_line.run_name, required=True, help="name of the workflow and of its run"
    )
    parser.add_argument(
        "--model", choices=names.MODELS, help="end only jobs of this model and --seed; fail if their input was wrong"
    )
    parser.add_argument("--seed", type=command_line.seed, help="the seed of the jobs to end; needs --model")
    parser.add_argument(
        "--explain-failure",
        type=moment,
        metavar="TIME",
        help="fail, and report why the newest job of the model and seed has not succeeded; a job created before this"
        " time, such as 2026-11-27T08:00:00Z, does not count",
    )
    parser.add_argument("--namespace", default="kubeflow", help="namespace of the jobs")
    parser.add_argument(
        "--timeout", type=command_line.positive, default=240, help="seconds to wait for the workers to end"
    )
    parser.set_defaults(task=end_training)
