"""Do what a workflow and an operator need beside the four steps: each task is a subcommand.

    python3 /pipeline-admin.py end-training --workflow distml-7k2px
    python3 /pipeline-admin.py smoke-test --url http://flower-sample-predictor --version 3

It starts without TensorFlow.
"""

import argparse
from typing import TYPE_CHECKING

from distml.model import names
from distml.protocol.contract import MODEL_NAME
from distml.publishing.smoke_test import check_service, service_url
from distml.step import command_line, outcome

if TYPE_CHECKING:
    Subcommands = argparse._SubParsersAction[command_line.Parser]


def main(args: argparse.Namespace) -> None:
    args.task(args)


def end_training(args: argparse.Namespace) -> None:
    """Run `end-training`."""
    if args.failed_job and not args.model:
        raise outcome.StepError("--failed-job needs --model; see end-training --help")
    from distml.training import tfjobs  # loads the Kubernetes client, which takes longer than all the rest

    tfjobs.end_training(args.volume, args.workflow, args.namespace, args.timeout, args.model, args.failed_job)


def smoke_test(args: argparse.Namespace) -> None:
    """Run `smoke-test`."""
    check_service(args.volume, args.version, args.url, args.model, args.timeout)


def add_end_training(subcommands: "Subcommands") -> None:
    """Add the options of `end-training`.

    A workflow runs it at its end; for one model, before it trains that again; and after a training that failed, with
    `--failed-job`.
    """
    parser = subcommands.add_parser(
        "end-training",
        help="end a workflow's TFJobs, and tell why one failed",
        description="End the TFJobs of a workflow that have not ended, and wait until none of their workers can write"
        " any more. With --failed-job the subcommand fails itself, with the job's reason as its message.",
    )
    command_line.add_volume(parser)
    parser.add_argument(
        "--workflow",
        type=command_line.run_name,
        required=True,
        help="name of the workflow whose jobs are meant, and of its run",
    )
    parser.add_argument(
        "--model", choices=names.MODELS, help="the jobs of this model alone; fails when its input was wrong"
    )
    parser.add_argument("--failed-job", help="this job of the model has failed, and so will this subcommand")
    parser.add_argument("--namespace", default="kubeflow", help="where the jobs are")
    parser.add_argument(
        "--timeout", type=command_line.positive, default=240, help="seconds that the workers have to end"
    )
    parser.set_defaults(task=end_training)


def add_smoke_test(subcommands: "Subcommands") -> None:
    """Add the options of `smoke-test`, which a workflow runs after it has published a version."""
    parser = subcommands.add_parser(
        "smoke-test",
        help="ask a service until it serves a published version",
        description="Ask an inference service until it serves one published version, then ask it about an image.",
    )
    command_line.add_volume(parser)
    parser.add_argument(
        "--url", type=service_url, default=f"http://{MODEL_NAME}-predictor", help="of the service, without a path"
    )
    parser.add_argument("--model", default=MODEL_NAME, help="the model's name, if the service tells none")
    parser.add_argument("--version", type=command_line.positive, required=True, help="the published version's number")
    parser.add_argument("--timeout", type=command_line.positive, default=600, help="seconds until it must be served")
    parser.set_defaults(task=smoke_test)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.Parser(__doc__.splitlines()[0])
    subcommands = parser.add_subparsers(title="subcommands", metavar="SUBCOMMAND", required=True)
    add_end_training(subcommands)
    add_smoke_test(subcommands)
    return parser.parse_args(argv)


if __name__ == "__main__":
    outcome.run(main, parse_args())
