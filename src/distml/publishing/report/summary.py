"""The summary that a run prints at its end: the models, the verdict, and where the results are."""

from collections.abc import Mapping
from typing import Any

from distml.publishing.selection import lead
from distml.step.text_table import table
from distml.step.volume import Volume, candidate_name


def render(content: Mapping[str, Any], volume: Volume) -> str:
    """Return the last lines of a run, from the content of its `report.json`."""
    winner = candidate_name(content["winner"], content["seed"])
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
        training = "best seed's training"
        heading: tuple[str, ...] = (
            "seeds",
            "mean validation accuracy",
            "lowest",
            "highest",
            "best seed's 95 % interval",
        )
    else:
        training = "training"
        heading = ("validation accuracy", "95 % interval")
    rows: list[tuple] = [("model", "parameters", training, "images/s", *heading, "")]
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
    """Return the p-values of the comparisons, adjusted for their number, and what the verdict does not cover."""
    rows = [
        f"{lead.in_words(row['adjusted_p'])} against {candidate_name(row['model'], row['seed'])}"
        for row in content["comparisons"]
    ]
    return f" (adjusted p: {', '.join(rows)}); other seeds may change this" if rows else ""
