"""The subcommands about published versions: `history`, `release`, `withdraw` and `roll-back`."""

import argparse
import errno

from distml.publishing.versions import decisions, folders, history_table, signature
from distml.publishing.versions.history import History
from distml.step import command_line, outcome
from distml.step.progress_bar import say


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
    record = decisions.release(args.volume, args.version, args.reason, args.public_key)
    say(f"version {args.version} is released" + ("" if record else " already; nothing is recorded"))


def withdraw(args: argparse.Namespace) -> None:
    """Run `withdraw`."""
    decisions.withdraw(args.volume, args.version, args.reason)
    say(f"version {args.version} is withdrawn; its files are in {args.volume.versions / folders.WITHDRAWN}")


def roll_back(args: argparse.Namespace) -> None:
    """Run `roll-back`."""
    record = decisions.roll_back(args.volume, args.to, args.reason, args.public_key)
    newer = ", ".join(map(str, record.facts["withdrawn"]))
    say(f"rolled back to version {record.version}; withdrawn: {newer}; predictors follow within seconds")


def add_decisions(subcommands: "command_line.Subcommands") -> None:
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
        if name in ("release", "roll-back"):
            signature.add_public_key(parser)
        if name != "history":
            parser.add_argument("--reason", type=command_line.sentence, default="", help="a sentence for the history")
        parser.set_defaults(task=task)
