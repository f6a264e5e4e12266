"""The subcommand `check-workflow`: check a workflow's parameters, and decide whether it trains."""

import argparse

from distml.administration import parameters
from distml.step import command_line
from distml.step.progress_bar import say

TRAINS_ALWAYS = "the parameter train is always"


def check_workflow(args: argparse.Namespace) -> None:
    """Run `check-workflow`."""
    checked = parameters.check(args.parameters, args.workflow, args.namespace)
    train, reason = True, TRAINS_ALWAYS
    if checked["train"] == parameters.IF_NEEDED:
        from distml.administration import retraining  # here, because the Kubernetes client loads slowly

        decision = retraining.decide(args.volume, checked["service"], args.namespace)
        train, reason = decision.train, decision.reason
    (args.outputs / "train").write_text("true" if train else "false")
    (args.outputs / "reason").write_text(reason)
    say(f"the parameters are right; {'training' if train else 'not training'}: {reason}")


def add_check_workflow(subcommands: "command_line.Subcommands") -> None:
    """Add the options of `check-workflow`, a workflow's first step."""
    parser = subcommands.add_parser(
        "check-workflow",
        help="check a workflow's parameters, and decide whether it trains",
        description="Check all parameters of a workflow and its own name. With --train=if-needed, also decide whether"
        " the workflow trains.",
    )
    command_line.add_volume(parser)
    parser.add_argument("--workflow", required=True, help="name of the workflow")
    parser.add_argument("--namespace", default="kubeflow", help="namespace of the workflow and of its service")
    parser.add_argument(
        "--parameters",
        type=parameters.parse,
        required=True,
        help="all parameters of the workflow, as Argo writes them: a JSON list of objects with a name and a value",
    )
    parser.add_argument(
        "--outputs", type=command_line.path, required=True, help="folder for the files train (true or false) and reason"
    )
    parser.set_defaults(task=check_workflow)
