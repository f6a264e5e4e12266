"""The subcommand `check-drift`: compare the images that a service gets with its model's validation images."""

import argparse

from distml.protocol.client import model_name
from distml.protocol.contract import MODEL_NAME, counted
from distml.publishing.drift import service_drift
from distml.publishing.drift.look import Look, p_text
from distml.publishing.service.smoke_test import service_url
from distml.step import command_line, outcome
from distml.step.progress_bar import say
from distml.step.text_table import table


class Drifted(outcome.StepError):
    """The images that the service gets differ from the validation images of its model."""

    exit_status = outcome.DRIFT


def check_drift(args: argparse.Namespace) -> None:
    """Run `check-drift`."""
    if args.url:
        found = service_drift.look_at([args.url], args.service)
    else:
        found = service_drift.look(args.service, args.namespace)
    if found.features:
        say(f"version {found.version}, {found.window.images:,} images of {counted(found.replicas, 'replica')}\n")
        say(_table(found) + "\n")
    if found.drifted:
        raise Drifted(found.text)
    say(found.text)


def _table(found: Look) -> str:
    rows = [[each.feature, f"{each.distance:.3f}", p_text(each.p_value)] for each in found.features]
    return table([["feature", "distance", "corrected p"], *rows])


def add_check_drift(subcommands: "command_line.Subcommands") -> None:
    """Add the options of `check-drift`."""
    parser = subcommands.add_parser(
        "check-drift",
        help="compare a service's newest images with the validation images of its model",
        description="Ask every ready replica of an InferenceService how its newest images are distributed, and compare"
        " those of each replica, and of all together, with the validation images of the model. The exit status is"
        f" {outcome.DRIFT} if the images have drifted, 0 if not, 1 if a replica does not answer, and 2 if one has"
        " nothing to compare.",
    )
    parser.add_argument(
        "--service", type=model_name, default=MODEL_NAME, help="name of the InferenceService, and of its model"
    )
    parser.add_argument("--namespace", default="kubeflow", help="namespace of the InferenceService")
    parser.add_argument(
        "--url", type=service_url, help="ask only the predictor at this URL, such as http://localhost:8080"
    )
    parser.set_defaults(task=check_drift)
