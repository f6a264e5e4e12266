"""The summary that a run prints at its end: the models, the verdict, and where the results are."""

from collections.abc import Mapping
from typing import Any

from distml.publishing.selection import lead
from distml.step.text_table import table
from distml.step.volume import Volume


def render(content: Mapping[str, Any], volume: Volume) -> str:
    """Return the last lines of a run, from the content of its `report.json`."""
    winner = content["winner"]
    low, high = content["test_interval"]
    return "\n".join(
        (
            "",
            _models(content),
            "",
            f"{winner}: {content['verdict']}{_comparisons(content)}",
            f"test accuracy of {winner}: {content['test_accuracy']:.4f} ({low:.4f} to {high:.4f})",
            f"report:          {volume.report / 'index.html'}",
            f"history:         {volume.history}",
            f"published model: {volume.version(content['version'])}",
        )
    )


def _models(content: Mapping[str, Any]) -> str:
    """Return the table of the models; with several seeds, the accuracies of each model's best and worst one."""
    several = any(len(model["seeds"]) > 1 for model in content["models"].values())
    if several:
        heading: tuple[str, ...] = ("seeds", "mean validation accuracy", "lowest", "highest", "its 95 % interval")
    else:
        heading = ("validation accuracy", "95 % interval")
    rows: list[tuple] = [("model", "parameters", "training", "images/s", *heading, "")]
    for name, model in content["models"].items():
        spread = (len(model["seeds"]), f"{model['mean']:.4f}", f"{model['lowest']:.4f}") if several else ()
        low, high = model["validation_interval"]
        rows.append(
            (
                name,
                f"{model['parameters']:,}",
                f"{model['seconds']:.0f} s",
                f"{model['images_per_second']:,.0f}",
                *spread,
                f"{model['validation_accuracy']:.4f}",
                f"{low:.4f} to {high:.4f}",
                "winner" if name == content["winner"] else "",
            )
        )
    return table(rows)


def _comparisons(content: Mapping[str, Any]) -> str:
    """Return the p-values of the comparisons in parentheses, adjusted for their number."""
    rows = [f"{lead.in_words(row['adjusted_p'])} against {row['model']}" for row in content["comparisons"]]
    return f" (p: {', '.join(rows)})" if rows else ""
