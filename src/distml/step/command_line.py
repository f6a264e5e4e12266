"""Command lines: the parser that every script uses, and the types of its arguments."""

import argparse
import math
import os
import re
from pathlib import Path
from typing import Any, NoReturn

from distml.step import outcome
from distml.step.volume import Volume

PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows the default of an option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """Shows defaults in its help, and says what is wrong in one line, without the usage before it."""

    def __init__(self, description: str | None = None, **options: Any):
        super().__init__(description=description, formatter_class=_HelpFormatter, **options)

    def error(self, message: str) -> NoReturn:
        _, _, subcommand = self.prog.partition(" ")
        outcome.fail(f"{message}; see {f'{subcommand} --help'.strip()}", 2)


def step_parser(description: str | None) -> Parser:
    """Return a parser that already knows `--volume`."""
    parser = Parser(description)
    add_volume(parser)
    return parser


def add_volume(parser: argparse.ArgumentParser) -> None:
    """Add the option that every step has."""
    parser.add_argument(
        "--volume",
        type=volume,
        default=os.environ.get("VOLUME", "/trained_model"),
        help="folder that all steps share (also: the environment variable VOLUME)",
    )


def volume(text: str) -> Volume:
    """An argparse type: the folder of a volume; `~` is the user's home, as make passes it on unchanged."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the volume's folder has no name; give one, such as ./trained_model")
    return Volume(path(text))


def run_name(text: str) -> str:
    """An argparse type: a run's name is one plain folder name, such as a workflow's."""
    if not PLAIN_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no plain folder name; use letters, digits, dots, - and _")
    return text


def path(text: str) -> Path:
    """An argparse type: a path; `~` and `~user` are home folders."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise argparse.ArgumentTypeError(f"{text!r} begins with a home folder that is not known") from None


def integer(text: str, lowest: int = 0, highest: float = math.inf) -> int:
    """An argparse type: an integer from `lowest` to `highest`."""
    try:
        number = int(text)
    except ValueError:
        number = None
    if number is None or not lowest <= number <= highest:
        limit = f"of {lowest} or more" if highest == math.inf else f"from {lowest} to {highest}"
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer {limit}")
    return number


def positive(text: str) -> int:
    """An argparse type: an integer of at least 1."""
    return integer(text, 1)


def port(text: str) -> int:
    """An argparse type: a TCP port."""
    return integer(text, 1, 65_535)


def positive_number(text: str) -> float:
    """An argparse type: a number above 0."""
    number = _float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def fraction(text: str) -> float:
    """An argparse type: a number from 0 to 1."""
    number = _float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return number


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
