"""The command-line parser of every script, and its argument types."""

import argparse
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from distml.step import outcome
from distml.step.volume import Volume

# TensorFlow accepts seeds up to 2**31 - 1; the last of several seeds must not be higher.
HIGHEST_SEED, MOST_SEEDS = 2_000_000_000, 100
PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Help texts with the default of each option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """A parser that shows defaults in its help and reports an error in one line, without the usage."""

    def __init__(self, description: str | None = None, **options: Any):
        super().__init__(description=description, formatter_class=_HelpFormatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        _, _, subcommand = self.prog.partition(" ")
        outcome.fail(f"{message}; see {f'{subcommand} --help'.strip()}", 2)


if TYPE_CHECKING:
    Subcommands = argparse._SubParsersAction[Parser]


def step_parser(description: str | None) -> Parser:
    """Return a parser with the option `--volume`."""
    parser = Parser(description)
    add_volume(parser)
    return parser


def add_volume(parser: argparse.ArgumentParser) -> None:
    """Add `--volume`, the option of every step."""
    parser.add_argument(
        "--volume",
        type=volume,
        default=os.environ.get("VOLUME", "/trained_model"),
        help="folder that all steps share; the environment variable VOLUME sets the default",
    )


def volume(text: str) -> Volume:
    """Parse the folder of a volume (argparse type), expanding `~`, which make passes on unchanged."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the volume's folder has no name; give one, such as ./trained_model")
    return Volume(path(text))


def run_name(text: str) -> str:
    """Accept a run's name (argparse type): one plain folder name, such as a workflow's name."""
    if not PLAIN_NAME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a plain folder name; use letters, digits, dots, - and _")
    return text


def seed(text: str) -> int:
    """Parse a seed that TensorFlow accepts (argparse type)."""
    return integer(text, 0, HIGHEST_SEED)


def number_of_seeds(text: str) -> int:
    """Parse how many seeds each model is trained with (argparse type)."""
    return integer(text, 1, MOST_SEEDS)


def seeds_of(args: argparse.Namespace) -> list[int]:
    """Return the seeds from `--seed` on, as many as `--seeds`; 1 replaces a missing value."""
    first = 1 if args.seed is None else args.seed
    return list(range(first, first + (args.seeds or 1)))


def sentence(text: str) -> str:
    """Accept a text for people (argparse type): one line of at most 200 characters."""
    if len(text) > 200 or not text.isprintable():
        raise argparse.ArgumentTypeError("a reason is one line of at most 200 characters")
    return text.strip()


def path(text: str) -> Path:
    """Parse a path (argparse type); `~` and `~user` are home folders."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise argparse.ArgumentTypeError(f"{text!r} begins with a home folder that is not known") from None


def integer(text: str, lowest: int = 0, highest: float = math.inf) -> int:
    """Parse an integer from `lowest` to `highest` (argparse type)."""
    try:
        number = int(text)
    except ValueError:
        number = None
    if number is None or not lowest <= number <= highest:
        limit = f"of {lowest} or more" if highest == math.inf else f"from {lowest} to {highest}"
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer {limit}")
    return number


def positive(text: str) -> int:
    """Parse an integer of at least 1 (argparse type)."""
    return integer(text, 1)


def port(text: str) -> int:
    """Parse a TCP port (argparse type)."""
    return integer(text, 1, 65_535)


def positive_number(text: str) -> float:
    """Parse a number above 0 (argparse type)."""
    number = _float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def fraction(text: str) -> float:
    """Parse a number from 0 to 1 (argparse type)."""
    number = _float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return number


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def origins(text: str) -> list[str]:
    """Parse origins separated by commas or blanks, or `*` alone for all (argparse type)."""
    names = text.replace(",", " ").split()
    if names == ["*"]:
        return names
    for name in names or [text]:
        found = re.fullmatch(r"https?://(?:\[[0-9a-f:]+\]|[a-z0-9.-]+)(?::(\d{1,5}))?", name)
        if not found or not 0 < int(found[1] or 80) < 65_536:
            raise argparse.ArgumentTypeError(
                f"{name!r} is not an origin; expected a scheme, a host in lower case and maybe a port, such as"
                " https://example.com, or * alone for all"
            )
    return names
