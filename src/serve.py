"""Serve the newest published model with KServe's protocols V1 and V2, over REST and gRPC.

    python3 /serve.py --model-dir /mnt/models

A version that is published while the server runs takes over without a restart.
"""

import argparse
import sys
from pathlib import Path

from distml.protocol.client import model_name
from distml.protocol.contract import MODEL_NAME
from distml.publishing.versions import signature
from distml.step import command_line, outcome


def main(args: argparse.Namespace) -> None:
    # KServe parses the command line when it is imported, and would misread some of these options as its own.
    sys.argv = sys.argv[:1]
    from distml.serving import server

    bounds = server.Bounds(
        max_accuracy_loss=args.max_accuracy_loss,
        max_recall_loss=args.max_recall_loss,
        max_slowdown=args.max_slowdown,
        shadow_seconds=args.shadow_seconds,
        probation_seconds=args.probation_seconds,
    )
    options = server.Options(
        folder=args.model_dir or args.volume.versions,
        model_name=args.model_name,
        host=args.host,
        http_port=args.http_port,
        grpc_port=args.grpc_port,
        engine_threads=args.engine_threads,
        poll_seconds=args.poll_seconds,
        drain_seconds=args.drain_seconds,
        cors_origins=args.cors_origins,
        has_page=not args.no_page,
        bounds=bounds if args.release == "guarded" else None,
        public_key=args.public_key,
    )
    server.serve(options)


def add_release_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the take-over by a newer version."""
    parser.add_argument(
        "--release",
        choices=("instant", "guarded"),
        default="instant",
        help="instant: a newer version answers as soon as it is loaded; guarded: it must first pass a trial",
    )
    trial = parser.add_argument_group("the trial of --release guarded")
    # Among nine well-trained versions (three models, three seeds) the largest losses were 0.021 and 0.11, and the
    # largest ratio of engine times 1.12. A version that is wrong for one class loses about 0.09 and 0.9.
    trial.add_argument(
        "--max-accuracy-loss",
        type=command_line.fraction,
        default=0.04,
        help="how far its accuracy on its reference images may be below the old version's, 0 to 1",
    )
    trial.add_argument(
        "--max-recall-loss", type=command_line.fraction, default=0.2, help="the same for each class's recall, 0 to 1"
    )
    trial.add_argument(
        "--max-slowdown",
        type=command_line.positive_number,
        default=2.0,
        help="how many times the old version's engine time it may take",
    )
    trial.add_argument(
        "--shadow-seconds",
        type=command_line.positive_number,
        default=10,
        help="longest time in which real requests are also classified by the new version",
    )
    trial.add_argument(
        "--probation-seconds",
        type=command_line.positive_number,
        default=20,
        help="time in which the old version stays ready to take over again",
    )


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.step_parser(__doc__.splitlines()[0])
    parser.add_argument("--model-dir", type=Path, help="folder of the published versions (default: the volume's)")
    parser.add_argument("--model-name", type=model_name, default=MODEL_NAME, help="name under which the model answers")
    parser.add_argument(
        "--host",
        default="",
        help="name or address of this machine at which to listen; localhost for this machine only (default: all)",
    )
    parser.add_argument(
        "--http-port", type=command_line.port, default=8080, help="port of V1 and V2 over REST, and of /metrics"
    )
    parser.add_argument("--grpc-port", type=command_line.port, default=8081, help="port of V2 over gRPC")
    parser.add_argument(
        "--engine-threads", type=command_line.positive, default=1, help="number of threads per inference"
    )
    parser.add_argument(
        "--poll-seconds", type=command_line.positive_number, default=2, help="seconds between checks for a new version"
    )
    parser.add_argument(
        "--drain-seconds", type=command_line.positive_number, default=5, help="seconds to keep serving after SIGTERM"
    )
    parser.add_argument(
        "--cors-origins",
        type=command_line.origins,
        default=[],
        help="origins, separated by commas, whose pages may ask from a browser, such as https://example.com; * for all",
    )
    parser.add_argument("--no-page", action="store_true", help="serve no page at /")
    signature.add_public_key(parser)
    add_release_options(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    outcome.run(main, parse_args())
