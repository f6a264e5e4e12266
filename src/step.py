"""What every step script shares: the volume argument, and failure as one line with an exit status."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from volume import Volume

REFUSED = 3


class StepError(Exception):
    """A failure a user can act on: what was wrong, what was expected, what to do. One line."""

    exit_status = 2


class Refused(StepError):
    """The step worked, and its answer is no: nothing was published."""

    exit_status = REFUSED


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser that already knows `--volume`."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument(
        "--volume",
        type=lambda path: Volume(Path(path)),
        default=os.environ.get("VOLUME", "/trained_model"),
        help="folder that all steps share (also: the environment variable VOLUME)",
    )
    return parser


def positive(text: str) -> int:
    """An argparse type: an integer of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not 1 or more")
    return number


def positive_number(text: str) -> float:
    """An argparse type: a number above 0."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def fraction(text: str) -> float:
    """An argparse type: a number from 0 to 1."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return number


def run(main: Callable[[argparse.Namespace], None], args: argparse.Namespace) -> None:
    """Run a step; a StepError or an unusable volume ends it with one line and a non-zero status."""
    try:
        main(args)
    except StepError as error:
        fail(str(error), error.exit_status)
    except KeyboardInterrupt:
        fail("stopped by Ctrl-C", 130)
    except OSError as error:
        if not error.filename:
            raise
        fail(f"cannot use {error.filename}: {error.strerror}; check that the volume is writable and has space")


def fail(message: str, status: int = 1) -> None:
    """Print one line on stderr and leave with `status`."""
    print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr, flush=True)
    sys.exit(status)


def table(rows: Sequence[Sequence[object]]) -> str:
    """Rows of cells as aligned text; the first row is the heading, the first column left-aligned."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = [
        "  ".join(
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)
