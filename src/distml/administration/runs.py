"""The subcommand `remove-runs`: remove old runs from the volume.

It removes what it can and warns about the rest, since a workflow may train nevertheless. It fails only if this user may
not read or remove something, so that an administrator looks at it.
"""

import argparse
import errno
import shutil
import sys
import time
from collections.abc import Sequence

from distml.protocol.contract import counted
from distml.publishing import runs
from distml.publishing.runs import Run
from distml.step import command_line, outcome
from distml.step.progress_bar import say
from distml.step.text_table import table
from distml.step.volume import Volume

# A workflow ends after 16 hours (activeDeadlineSeconds), and between training and publication it may wait for others
# without changing its run.
UNUSED_HOURS = 24
# On NFS a file that another process has open stays, and with it its folder, until the process closes it.
IN_USE = (errno.EBUSY, errno.ENOTEMPTY)


class NotRemoved(outcome.StepError):
    """Runs could not be removed; another user may be allowed to."""

    exit_status = 1


def remove_runs(args: argparse.Namespace) -> None:
    """Run `remove-runs`."""
    volume = args.volume
    if not volume.root.is_dir():
        raise outcome.StepError(f"there is no volume {volume}; name its folder with --volume (make: DATA=...)")
    found, errors = runs.find(volume)
    try:
        reasons = runs.reasons_to_stay(volume, found, args.keep, args.unused_hours)
    except runs.OriginUnknown as error:
        reasons = {run.name: "perhaps a version's origin" for run in found}
        outcome.write_line(
            sys.stderr, f"warning: no run is removed, because each may be the one from which a version came: {error}"
        )
    unneeded = [run for run in found if run.name not in reasons]
    if args.dry_run:
        removed = unneeded
        ends = {run.name: "would be removed" for run in unneeded}
    else:
        errors += runs.remove_leftovers(volume)
        ends = {run.name: _remove(volume, run, errors) for run in unneeded}
        removed = [run for run in unneeded if ends[run.name] == "removed"]
    if found:
        say(table([("run", "MB", "last change (UTC)", "result"), *(_row(run, reasons | ends) for run in found)]) + "\n")
    say(_summary(volume, removed, args.dry_run))
    _report(errors)


def _report(errors: list[OSError]) -> None:
    """Warn of files that are in use; raise NotRemoved for any other error."""
    in_use = [error for error in errors if error.errno in IN_USE]
    if in_use:
        reason = _described(in_use)
        outcome.write_line(
            sys.stderr,
            f"warning: another process uses files of a removed run, so a later removal deletes them: {reason}",
        )
    if others := [error for error in errors if error not in in_use]:
        raise NotRemoved(f"not every old run could be removed: {_described(others)}")


def _described(errors: Sequence[OSError]) -> str:
    """Return the text of the first error and the number of the others."""
    reason, _ = outcome.describe_os_error(errors[0])
    return reason + (f" (and {len(errors) - 1} more)" if errors[1:] else "")


def _remove(volume: Volume, run: Run, errors: list[OSError]) -> str:
    """Remove a run and return how that ended; append the error if it failed."""
    try:
        return "removed" if runs.remove(volume, run) else "in use by another process"
    except OSError as error:
        errors.append(error)
        return "could not be removed" if volume.run(run.name).exists() else "removed in part"


def _row(run: Run, results: dict[str, str]) -> tuple[str, ...]:
    changed = time.strftime("%Y-%m-%d %H:%M", time.gmtime(run.changed))
    return run.name, f"{run.size / 1e6:,.1f}", changed, results[run.name]


def _summary(volume: Volume, removed: list[Run], dry_run: bool) -> str:
    size, free = sum(run.size for run in removed) / 1e6, shutil.disk_usage(volume.root).free / 1e6
    verb = "would be removed, which would free" if dry_run else "removed, which freed"
    return f"{counted(len(removed), 'run')} {verb} {size:,.1f} MB; the volume has {free:,.0f} MB free"


def add_remove_runs(subcommands: "command_line.Subcommands") -> None:
    """Add the options of `remove-runs`, which a workflow runs before it trains."""
    parser = subcommands.add_parser(
        "remove-runs",
        help="remove old runs from the volume",
        description="Remove the runs that changed longest ago. A run stays if a version on the volume came from it,"
        " withdrawn or not, or if it may be in use. Published versions and the data set are never touched.",
    )
    command_line.add_volume(parser)
    parser.add_argument("--keep", type=command_line.integer, default=10, help="how many of the last runs stay")
    parser.add_argument(
        "--unused-hours",
        type=command_line.integer,
        default=UNUSED_HOURS,
        help="hours without a change after which a run is not in use; longer than any workflow takes",
    )
    parser.add_argument("--dry-run", action="store_true", help="only print what would be removed")
    parser.set_defaults(task=remove_runs)
