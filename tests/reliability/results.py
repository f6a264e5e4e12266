"""The results of the attacks: docs/reliability.json, with one entry for each attack, and the page made from it."""

import json
from collections.abc import Iterable
from pathlib import Path
from string import Template
from typing import Any

from reliability.promises import Promise
from support.project import ROOT

RESULTS = ROOT / "docs/reliability.json"
PAGE = ROOT / "docs/reliability.md"
TEMPLATE = Path(__file__).with_name("page.md")
OUTCOMES = HELD, BROKEN, NOT_RUN = "held", "broken", "not run"


def entry(attack: str, promise: Promise, how: str, outcome: str, figures: dict[str, Any], reason: str) -> dict:
    """Return the result of one attack.

    Args:
        attack: the name of the test.
        promise: the promise under attack.
        how: the attack, in words.
        outcome: one of `HELD`, `BROKEN` and `NOT_RUN`.
        figures: the test's properties; `times` and `lost` are among them if the attack was made.
        reason: why the attack was not run, or how it broke the promise; else empty.
    """
    others = {name: value for name, value in figures.items() if name not in ("times", "lost")}
    return {
        "attack": attack,
        "promise": promise.name,
        "how": how,
        "outcome": outcome,
        "times": figures.get("times", 0),
        "lost": figures.get("lost", 0),
        "figures": others,
        "reason": reason,
    }


def read() -> dict[str, Any]:
    """Return all results: the runs by their time, and the entries, each with the time of its run."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {"runs": {}, "attacks": []}


def add(run: str, facts: dict[str, Any], entries: Iterable[dict]) -> None:
    """Write the results with the entries of one run in the place of older ones, and the page.

    The results of attacks that exist no longer are removed.

    Args:
        run: the time of the run's start.
        facts: commit, part, machine and duration of the run.
        entries: its results. One that was not run replaces only another that was not run.
    """
    results = read()
    attacks = {old["attack"]: old for old in results["attacks"] if exists(old["attack"])}
    for new in entries:
        if new["outcome"] != NOT_RUN or attacks.get(new["attack"], new)["outcome"] == NOT_RUN:
            attacks[new["attack"]] = new | {"run": run}
    runs = results["runs"] | {run: facts}
    used = {attack["run"] for attack in attacks.values()}
    ordered = sorted(attacks.values(), key=lambda one: ([*Promise.__members__].index(one["promise"]), one["attack"]))
    results = {"runs": {time: runs[time] for time in sorted(used)}, "attacks": ordered}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    PAGE.write_text(page(results))


def exists(attack: str) -> bool:
    """Return whether the test of this name still exists."""
    file, _, test = attack.partition("::")
    path = Path(__file__).with_name(file)
    return path.exists() and f"def {test.partition('[')[0]}(" in path.read_text()


def page(results: dict[str, Any]) -> str:
    """Return the page: the text of page.md with the tables of the results."""
    runs = [
        ("run", "commit", "part", "minutes", "machine"),
        *((time, f["commit"], f["part"], f["minutes"], f["machine"]) for time, f in results["runs"].items()),
    ]
    of_promise = {
        promise: [attack for attack in results["attacks"] if attack["promise"] == promise.name] for promise in Promise
    }
    summary = [
        ("promise", *OUTCOMES, "times", "lost"),
        *(
            (promise, *(_count(made, one) for one in OUTCOMES), _sum(made, "times"), _sum(made, "lost"))
            for promise, made in of_promise.items()
        ),
    ]
    sections = [f"### {promise}\n\n{_rows(_attacks(made))}" for promise, made in of_promise.items() if made]
    return Template(TEMPLATE.read_text()).substitute(
        summary=_rows(summary), runs=_rows(runs), attacks="\n\n".join(sections)
    )


def _count(attacks: list[dict], outcome: str) -> int:
    return sum(attack["outcome"] == outcome for attack in attacks)


def _sum(attacks: list[dict], figure: str) -> str:
    return f"{sum(attack[figure] for attack in attacks):,}"


def _attacks(attacks: list[dict]) -> list[tuple]:
    rows: list[tuple] = [("attack", "outcome", "times", "lost", "figures", "run")]
    for one in attacks:
        figures = [f"{name.replace('_', ' ')}: {_number(value)}" for name, value in one["figures"].items()]
        outcome = f"**{BROKEN}**" if one["outcome"] == BROKEN else one["outcome"]
        text = "; ".join([*figures, *([one["reason"]] if one["reason"] else [])])
        rows.append((one["how"], outcome, f"{one['times']:,}", f"{one['lost']:,}", text, one["run"]))
    return rows


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _rows(rows: list[tuple]) -> str:
    """Return rows of cells as a table in Markdown."""
    heading, *others = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [heading, ["---"] * len(heading), *others])


if __name__ == "__main__":  # after a change of page.md
    PAGE.write_text(page(read()))
