"""The project's pages for people, and the commands in them."""

import re
from pathlib import Path

from support.project import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "bench/README.md"])


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def lines(page: Path) -> list[str]:
    """Return the lines of a page's `sh` blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def commands(page: Path) -> list[str]:
    """Return the simple commands of a page's `sh` blocks: lines, cut at `;` and `|`."""
    return [command.strip() for line in lines(page) for command in re.split(r"[;|]", line)]


def inline_commands(page: Path, start: str) -> list[str]:
    """Return the page's inline code that begins with `start`, cut at `;`, `|` and backslashes."""
    without_blocks = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(rf"`({re.escape(start)}[^`]*)`", without_blocks)
    return [re.split(r"[;|\\]", command)[0].strip() for command in found]


def all_commands(start: str) -> list[str]:
    """Return every command of every page, in a block or inline, that begins with `start`."""
    blocks = [command for page in PAGES for command in commands(page) if command.startswith(start)]
    return blocks + [command for page in PAGES for command in inline_commands(page, start)]
