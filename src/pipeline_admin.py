"""Run a task that a workflow or an administrator needs besides the four steps; each task is a subcommand.

    python3 /pipeline-admin.py end-training --workflow distml-7k2px
    python3 /pipeline-admin.py smoke-test --url http://flower-sample-predictor --version 3
    python3 /pipeline-admin.py roll-back --reason "coats are taken for shirts"

The script starts without TensorFlow.
"""

import argparse
import errno
from typing import TYPE_CHECKING

from distml.model import names
from distml.protocol.client import model_name
from distml.protocol.contract import MODEL_NAME
from distml.publishing.service.smoke_test import check_service, service_url
from distml.publishing.versions import decisions, folders, history_table
from distml.publishing.versions.history import History
from distml.step import command_line, outcome
from distml.step.progress_bar import say

if TYPE_CHECKING:
    Subcommands = argparse._SubParsersAction[command_line.Parser]


def main(args: argparse.Namespace) -> None:
    args.task(args)


def end_training(args: argparse.Namespace) -> None:
    """Run `end-training`."""
    if args.failed_job and not args.model:
        raise outcome.StepError("--failed-job needs --model; see end-training --help")
    if (args.model is None) != (args.seed is None):
        raise outcome.StepError("--model and --seed need each other; see end-training --help")
    candidate = (args.model, args.seed) if args.model else None
    from distml.training.group import tfjobs  # here, because the Kubernetes client loads slowly

    tfjobs.end_training(args.volume, args.workflow, args.namespace, args.timeout, candidate, args.failed_job)


def smoke_test(args: argparse.Namespace) -> None:
    """Run `smoke-test`."""
    check_service(args.volume, args.version, args.url, args.model, args.timeout)


def confirm_release(args: argparse.Namespace) -> None:
    """Run `confirm-release`."""
    from distml.publishing.service import confirmation  # here, because the Kubernetes client loads slowly

    confirmation.confirm_release(args.volume, args.version, args.service, args.namespace, args.timeout)


def show_history(args: argparse.Namespace) -> None:
    """Run `history`, also on a volume on which this user may only read."""
    if not args.volume.root.is_dir():
        raise outcome.StepError(f"there is no volume {args.volume}; name its folder with --volume (make: DATA=...)")
    try:
        decisions.complete(args.volume)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise
    history = History(args.volume.versions)
    kept_away = folders.numbers(args.volume.versions / folders.WITHDRAWN)
    say(history_table.render(history.records(wait=True), history.state(), kept_away).rstrip())


def release(args: argparse.Namespace) -> None:
    """Run `release`."""
    record = decisions.release(args.volume, args.version, args.reason)
    say(f"version {args.version} is released" + ("" if record else " already; nothing is recorded"))


def withdraw(args: argparse.Namespace) -> None:
    """Run `withdraw`."""
    decisions.withdraw(args.volume, args.version, args.reason)
    say(f"version {args.version} is withdrawn; its files are in {args.volume.versions / folders.WITHDRAWN}")


def roll_back(args: argparse.Namespace) -> None:
    """Run `roll-back`."""
    record = decisions.roll_back(args.volume, args.to, args.reason)
    newer = ", ".join(map(str, record.facts["withdrawn"]))
    say(f"rolled back to version {record.version}; withdrawn: {newer}; predictors follow within seconds")


def add_end_training(subcommands: "Subcommands") -> None:
    """Add the options of `end-training`.

    A workflow runs end-training at its end, before retraining a model (`--model`, `--seed`), and after a failed TFJob
    (`--failed-job`).
    """
    parser = subcommands.add_parser(
        "end-training",
        help="end a workflow's TFJobs and report why one failed",
        description="End the unfinished TFJobs of a workflow, and wait until none of their workers can write any more."
        " With --failed-job, the subcommand fails too, and its message is the reason why the job failed.",
    )
    command_line.add_volume(parser)
    parser.add_argument(
        "--workflow", type=command_line.run_name, required=True, help="name of the workflow and of its run"
    )
    parser.add_argument(
        "--model", choices=names.MODELS, help="end only jobs of this model and --seed; fail if their input was wrong"
    )
    parser.add_argument("--seed", type=command_line.seed, help="the seed of the jobs to end; needs --model")
    parser.add_argument("--failed-job", help="report why this job of the model and seed failed, and fail")
    parser.add_argument("--namespace", default="kubeflow", help="namespace of the jobs")
    parser.add_argument(
        "--timeout", type=command_line.positive, default=240, help="seconds to wait for the workers to end"
    )
    parser.set_defaults(task=end_training)


def add_smoke_test(subcommands: "Subcommands") -> None:
    """Add the options of `smoke-test`, which a workflow runs after it has published a version."""
    parser = subcommands.add_parser(
        "smoke-test",
        help="wait until a service serves a published version",
        description="Wait until an inference service serves a published version, then check a prediction.",
    )
    command_line.add_volume(parser)
    parser.add_argument(
        "--url", type=service_url, default=f"http://{MODEL_NAME}-predictor", help="URL of the service, without a path"
    )
    parser.add_argument("--model", default=MODEL_NAME, help="the model's name, for a service that lists none")
    parser.add_argument("--version", type=command_line.positive, required=True, help="number of the published version")
    parser.add_argument("--timeout", type=command_line.positive, default=600, help="seconds to wait for the version")
    parser.set_defaults(task=smoke_test)


def add_confirm_release(subcommands: "Subcommands") -> None:
    """Add the options of `confirm-release`, which a workflow runs after it has published a version."""
    parser = subcommands.add_parser(
        "confirm-release",
        help="wait until every replica has taken a version over, then release it",
        description="Wait until every ready replica of an InferenceService has taken a published version over, and"
        " record that it is released. If a replica rejects it, or does not take it over in time, record that it is"
        " rejected, and fail.",
    )
    command_line.add_volume(parser)
    parser.add_argument("--service", type=model_name, default=MODEL_NAME, help="name of the InferenceService")
    parser.add_argument("--namespace", default="kubeflow", help="namespace of the InferenceService")
    parser.add_argument("--version", type=command_line.positive, required=True, help="number of the published version")
    parser.add_argument("--timeout", type=command_line.positive, default=600, help="seconds to wait for the replicas")
    parser.set_defaults(task=confirm_release)


def add_decisions(subcommands: "Subcommands") -> None:
    """Add the subcommands about published versions: `history`, `release`, `withdraw` and `roll-back`."""
    texts = {
        "history": ("print what happened to each version", show_history),
        "release": ("make a version the one that starting predictors trust, also a withdrawn one", release),
        "withdraw": ("take a version out of service; its files are kept", withdraw),
        "roll-back": ("release an older version again, and withdraw every newer one", roll_back),
    }
    for name, (text, task) in texts.items():
        parser = subcommands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command_line.add_volume(parser)
        if name in ("release", "withdraw"):
            parser.add_argument("--version", type=command_line.positive, required=True, help="number of the version")
        if name == "roll-back":
            parser.add_argument(
                "--to", type=command_line.positive, help="number of the version (default: the one before the newest)"
            )
        if name != "history":
            parser.add_argument("--reason", type=command_line.sentence, default="", help="a sentence for the history")
        parser.set_defaults(task=task)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.Parser(__doc__.splitlines()[0])
    subcommands = parser.add_subparsers(title="subcommands", metavar="SUBCOMMAND", required=True)
    add_end_training(subcommands)
    add_smoke_test(subcommands)
    add_confirm_release(subcommands)
    add_decisions(subcommands)
    return parser.parse_args(argv)


if __name__ == "__main__":
    outcome.run(main, parse_args())
