"""The tables of bench/README.md from the recorded results of serving.py."""

from collections.abc import Callable
from typing import Any

RATE, P99 = "image_bytes, -c 5: requests/s", "image_bytes, -c 5: p99 ms"
RATE_64, P99_64 = "image_bytes, -c 64: requests/s", "image_bytes, -c 64: p99 ms"
ARRAY_RATE, ARRAY_P99, ARRAY_RATE_64 = (name.replace("image_bytes", "array") for name in (RATE, P99, RATE_64))
START, MEMORY = "start to first answer: s", "memory: MiB"
BY_BINARY, BARE = "64 images by V2 binary: images/s", "bare engine in a loop, 64 images: images/s"
# The target of a ratio: the words, and the condition.
Target = tuple[str, Callable[[float], bool]]


def at_least(limit: float) -> Target:
    return f"≥ {limit:g}", lambda value: value >= limit


def at_most(limit: float) -> Target:
    return f"≤ {limit:g}", lambda value: value <= limit


def tables(recorded: dict[str, Any]) -> str:
    """Return the tables as Markdown."""
    return "\n\n".join((servers_table(recorded), targets_table(recorded), forms_table(recorded)))


def servers_table(recorded: dict[str, Any]) -> str:
    head = ["server", "form", "requests/s, `-c 5`", "p99 in ms", "requests/s, `-c 64`", "p99 in ms"]
    rows = []
    for name, median in recorded["medians"].items():
        form = recorded["forms"].get(name, {}).get("chosen", "")
        loads = [f"{median[RATE]:,.0f}", f"{median[P99]:.1f}", f"{median[RATE_64]:,.0f}", f"{median[P99_64]:.1f}"]
        rows.append([name, form, *loads, f"{median[START]:.1f}", f"{median[MEMORY]:,.0f}"])
    return table([*head, "start in s", "memory in MiB"], rows)


def targets_table(recorded: dict[str, Any]) -> str:
    rows = []
    for what, value, (words, is_reached) in targets(recorded):
        rows.append([what, f"{value:,.2f}", words if is_reached(value) else f"{words}, not reached"])
    return table(["what", "value", "target"], rows)


def targets(recorded: dict[str, Any]) -> list[tuple[str, float, Target]]:
    """Return the ratios and other figures that have a target."""
    predictor, empty = recorded["medians"]["predictor"], recorded["medians"]["empty"]
    memory = max(predictor[MEMORY], *recorded["memory_of_the_predictor_mib"].values())
    found = [
        ("requests/s, `-c 5`, image file: predictor / empty", predictor[RATE] / empty[RATE], at_least(0.85)),
        ("its p99", predictor[P99] / empty[P99], at_most(2)),
        ("requests/s, `-c 5`, array: predictor / empty", predictor[ARRAY_RATE] / empty[ARRAY_RATE], at_least(0.85)),
        ("its p99", predictor[ARRAY_P99] / empty[ARRAY_P99], at_most(2)),
        ("image file: predictor at `-c 64` / at `-c 5`", predictor[RATE_64] / predictor[RATE], at_least(1)),
        ("array: predictor at `-c 64` / at `-c 5`", predictor[ARRAY_RATE_64] / predictor[ARRAY_RATE], at_least(1)),
        ("images/s, 64 by V2 binary: predictor / bare engine", predictor[BY_BINARY] / predictor[BARE], at_least(0.5)),
        ("start: predictor / empty", predictor[START] / empty[START], at_most(1.4)),
        ("largest memory of the predictor in MiB, 50,000 more requests included", memory, at_most(250)),
    ]
    for name in recorded["forms"]:
        peer = recorded["medians"][name]
        found.append((f"requests/s, `-c 5`: predictor / {name}", predictor[RATE] / peer[RATE], at_least(2)))
        found.append(("its p99", predictor[P99] / peer[P99], at_most(1)))
    return found


def forms_table(recorded: dict[str, Any]) -> str:
    rows = [
        [name, form, *(f"{figures[key]:,.0f}" for key in (RATE, RATE_64))]
        for name, measured in recorded["forms"].items()
        for form, figures in measured["tried"].items()
    ]
    return table(["peer", "form, measured once", "requests/s, `-c 5`", "requests/s, `-c 64`"], rows)


def table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])
