"""The lines that a run prints at its end."""

import re
from pathlib import Path
from typing import Any

from distml.publishing.report import summary
from distml.step.volume import Volume


def model(accuracy: float, *seeds: float) -> dict[str, Any]:
    return {
        **{"parameters": 61994, "seconds": 22.4, "images_per_second": 10137.0, "validation_accuracy": accuracy},
        **{"validation_interval": [accuracy - 0.0075, accuracy + 0.0075], "lowest": min(seeds)},
        **{"seeds": {str(seed): value for seed, value in enumerate(seeds)}, "mean": sum(seeds) / len(seeds)},
    }


def cells(text: str) -> list[str]:
    """Return the cells of tables and the other lines, without rules and empty lines."""
    return [cell for line in text.splitlines() if "---" not in line for cell in re.split(" {2,}", line) if cell]


def test_the_summary_of_several_seeds_shows_their_spread() -> None:
    content = {
        **{"winner": "batchnorm", "seed": 1, "version": 2, "verdict": "lead within chance"},
        **{"test_accuracy": 0.92254, "test_interval": [0.9171, 0.9276]},
        "models": {"batchnorm": model(0.94, 0.93, 0.94), "plain": model(0.92, 0.92)},
        "comparisons": [
            {"model": "plain", "seed": 0, "adjusted_p": 0.0512},
            {"model": "dropout", "seed": 3, "adjusted_p": 4e-7},
        ],
    }
    assert cells(summary.render(content, Volume(Path("v")))) == [
        *("model", "parameters", "best seed's training", "images/s"),
        *("seeds", "mean validation accuracy", "lowest", "highest", "best seed's 95 % interval"),
        *("batchnorm", "61,994", "22 s", "10,137", "2", "0.9350", "0.9300", "0.9400", "0.9325 to 0.9475", "winner"),
        *("plain", "61,994", "22 s", "10,137", "1", "0.9200", "0.9200", "0.9200", "0.9125 to 0.9275"),
        "batchnorm-seed1: lead within chance"
        " (adjusted p: 0.051 against plain-seed0, <0.0001 against dropout-seed3); other seeds may change this",
        "test accuracy of batchnorm-seed1: 0.9225 (0.9171 to 0.9276)",
        *("report:", "v/report/index.html", "history:", "v/history.txt"),
        "published model: v/saved_model_versions/2",
    ]


def test_the_summary_of_one_model_compares_with_none() -> None:
    content = {
        **{"winner": "plain", "seed": 1, "version": 1, "verdict": "no other model to compare with", "comparisons": []},
        **{"test_accuracy": 0.9, "test_interval": [0.89, 0.91], "models": {"plain": model(0.92, 0.92)}},
    }
    found = cells(summary.render(content, Volume(Path("v"))))
    assert found[:6] == ["model", "parameters", "training", "images/s", "validation accuracy", "95 % interval"]
    assert found[13:15] == [
        "plain-seed1: no other model to compare with",
        "test accuracy of plain-seed1: 0.9000 (0.8900 to 0.9100)",
    ]
