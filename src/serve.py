"""Serve the newest published model by KServe's protocols, V1 and V2, over REST and gRPC.

    python3 /serve.py --model-dir /mnt/models

It follows what is published: a newer version is taken up while it runs.
"""

import argparse
import sys
from pathlib import Path

from distml.step import command_line, outcome


def main(args: argparse.Namespace) -> None:
    # KServe reads the command line when it is imported, and would take some of our options for its own.
    sys.argv = sys.argv[:1]
    from distml.serving import server

    server.serve(
        args.model_dir or args.volume.versions,
        http_port=args.http_port,
        grpc_port=args.grpc_port,
        engine_threads=args.engine_threads,
        poll_seconds=args.poll_seconds,
        drain_seconds=args.drain_seconds,
    )


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.step_parser(__doc__.splitlines()[0])
    parser.add_argument("--model-dir", type=Path, help="folder of the versions (default: the volume's)")
    parser.add_argument(
        "--http-port", type=command_line.port, default=8080, help="for V1 and V2 over REST, and /metrics"
    )
    parser.add_argument("--grpc-port", type=command_line.port, default=8081, help="for V2 over gRPC")
    parser.add_argument(
        "--engine-threads", type=command_line.positive, default=1, help="threads that one inference uses"
    )
    parser.add_argument(
        "--poll-seconds", type=command_line.positive_number, default=2, help="between looks for versions"
    )
    parser.add_argument(
        "--drain-seconds", type=command_line.positive_number, default=5, help="to serve on after SIGTERM"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    outcome.run(main, parse_args())
