"""The output of a step at work: whole lines, a progress bar on a terminal, and signs of life elsewhere.

tqdm draws the bars. Without a terminal, for example under `kubectl logs --follow`, a process that has printed nothing
for a while prints its current activity.
"""

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Iterator

from tqdm import tqdm

from distml.step import outcome

SECONDS_OF_SILENCE = 25
SECONDS_BETWEEN_LOOKS = 1
BAR = "{desc} {percentage:3.0f}%|{bar:24}| {n_fmt}/{total_fmt} {unit}, {remaining} left{postfix}"
NO_TOTAL = "{desc} {elapsed}{postfix}"


class _Output:
    """Output of this process: its prefix, its right to draw bars, and the time of its last line."""

    prefix = ""
    draws = True
    last_line = time.monotonic()


def configure(name: str, draw: bool) -> None:
    """Begin signs of life with `name`, such as "worker 1"; only one of several processes may `draw` on a terminal."""
    _Output.prefix, _Output.draws = f"{name}: ", draw


def say(text: str) -> None:
    """Print a whole line, above the bar if one is drawn."""
    with tqdm.external_write_mode(file=sys.stdout):
        outcome.write_line(sys.stdout, text)
    _Output.last_line = time.monotonic()


class Activity:
    """A task that takes a while, of `total` units if the total is known."""

    def __init__(self, what: str, total: int | None, unit: str):
        self._what, self._total, self._unit = what, total, unit
        self._done, self._figures = 0, ""
        shown = _Output.draws and sys.stdout.isatty() and sys.stderr.isatty()
        size = shutil.get_terminal_size()  # 80 by 24 if the terminal reports none
        self._bar = tqdm(
            desc=what,
            total=total,
            unit=unit,
            file=sys.stderr,
            disable=not shown,
            leave=False,
            bar_format=BAR if total else NO_TOTAL,
            unit_scale=unit == "B",
            unit_divisor=1024,
            ncols=size.columns - 1,
            nrows=size.lines,
        )
        self._ended = threading.Event()
        threading.Thread(target=self._watch, name="sign of life", daemon=True).start()

    def advance(self, units: int, figures: str = "") -> None:
        """Count `units` more; `figures`, such as "5,012 images/s", follow the count."""
        self._done, self._figures = self._done + units, figures
        self._bar.set_postfix_str(figures, refresh=False)
        self._bar.update(units)

    def reach(self, units: int, total: int | None = None) -> None:
        """Set the count to `units`, and the total, which may become known only now."""
        if total != self._total:
            self._total = self._bar.total = total
            self._bar.bar_format = BAR if total else NO_TOTAL
        self._done = self._bar.n = units
        self._bar.update(0)

    def end(self) -> None:
        self._ended.set()
        self._bar.close()

    def _watch(self) -> None:
        while not self._ended.wait(SECONDS_BETWEEN_LOOKS):
            if not self._bar.disable:
                self._bar.refresh()
            elif not sys.stdout.isatty() and time.monotonic() - _Output.last_line > SECONDS_OF_SILENCE:
                say(f"{_Output.prefix}{self}")

    def __str__(self) -> str:
        count = f", {self._done:,} of {self._total:,} {self._unit}" if self._total else ""
        return f"{self._what}{count}{self._figures and f', {self._figures}'} …"


@contextlib.contextmanager
def working(what: str) -> Iterator[None]:
    """Show that the block is at work on `what`."""
    with counting(what, None, ""):
        yield


@contextlib.contextmanager
def counting(what: str, total: int | None, unit: str) -> Iterator[Activity]:
    """Show how many of `total` units (if known) are done; the block calls `advance` or `reach`."""
    activity = Activity(what, total, unit)
    try:
        yield activity
    finally:
        activity.end()
