"""Run a task that a workflow or an administrator needs besides the four steps; each task is a subcommand.

    python3 /pipeline-admin.py end-training --workflow distml-7k2px
    python3 /pipeline-admin.py smoke-test --url http://flower-sample-predictor --version 3
    python3 /pipeline-admin.py roll-back --reason "coats are taken for shirts"

The script starts without TensorFlow. The modules of `distml.administration` have the subcommands.
"""

import argparse

from distml.administration import drift, releases, reports, runs, training, versions, workflow
from distml.step import command_line, outcome


def main(args: argparse.Namespace) -> None:
    args.task(args)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.Parser(__doc__.splitlines()[0])
    subcommands = parser.add_subparsers(title="subcommands", metavar="SUBCOMMAND", required=True)
    workflow.add_check_workflow(subcommands)
    training.add_end_training(subcommands)
    releases.add_smoke_test(subcommands)
    releases.add_confirm_release(subcommands)
    versions.add_decisions(subcommands)
    reports.add_serve_reports(subcommands)
    runs.add_remove_runs(subcommands)
    drift.add_check_drift(subcommands)
    return parser.parse_args(argv)


if __name__ == "__main__":
    outcome.run(main, parse_args())
