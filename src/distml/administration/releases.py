"""The subcommands about a version that a service is to take over: `smoke-test` and `confirm-release`."""

import argparse

from distml.protocol.client import model_name
from distml.protocol.contract import MODEL_NAME
from distml.publishing.service.smoke_test import check_service, service_url
from distml.publishing.versions import signature
from distml.step import command_line


def smoke_test(args: argparse.Namespace) -> None:
    """Run `smoke-test`."""
    check_service(args.volume, args.version, args.url, args.model, args.timeout)


def confirm_release(args: argparse.Namespace) -> None:
    """Run `confirm-release`."""
    from distml.publishing.service import confirmation  # here, because the Kubernetes client loads slowly

    confirmation.confirm_release(args.volume, args.version, args.service, args.namespace, args.timeout, args.public_key)


def add_smoke_test(subcommands: "command_line.Subcommands") -> None:
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


def add_confirm_release(subcommands: "command_line.Subcommands") -> None:
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
    signature.add_public_key(parser)
    parser.set_defaults(task=confirm_release)
