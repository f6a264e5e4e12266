"""The report of a run: its numbers and its page."""

import json
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from distml.publishing.report import report
from support.project import SOURCE

NAMES = ["Bag", "Coat", "<Shirt>"]
LABELS = np.array([0, 0, 1, 1])
PROBABILITIES = np.array([[0.9, 0.1, 0], [0.3, 0.7, 0], [0.2, 0.8, 0], [0.6, 0.4, 0]], np.float32)
SOFTWARE = {"tensorflow": "2.99.1", "keras": "3.99.2"}
SETTINGS = {"workers": 2, "epochs": 2, "batch_per_worker": 64, "learning_rate": 0.002, "seed": 1}

Write = Callable[..., tuple[dict[str, Any], str]]


def manifest(model: str, validation_accuracy: float) -> dict[str, Any]:
    epoch = {"loss": 0.5, "validation_accuracy": 0.8, "learning_rate": 0.1, "images_per_second": 60.0, "seconds": 5.0}
    last = {**epoch, "validation_accuracy": validation_accuracy}
    metrics = {"validation_accuracy": validation_accuracy, "seconds": 10.0, "images_per_second": 60.0}
    return {
        "digest": f"digest of {model}",
        "run": "r1",
        "model": model,
        "data_sha256": "d",
        "code_sha256": "c",
        "software": SOFTWARE,
        "settings": SETTINGS,
        "metrics": {**metrics, "history": [epoch, last]},
        "parameters": 1234,
        "created": "2026-01-02T03:04:05+00:00",
    }


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a report of two models and returns its content and its page."""

    def write(probabilities: np.ndarray = PROBABILITIES, class_names: list[str] = NAMES) -> tuple[dict[str, Any], str]:
        content = report.write(
            tmp_path,
            manifests={"plain": manifest("plain", 0.85), "dropout": manifest("dropout", 0.875)},
            winner="dropout",
            version=3,
            class_names=class_names,
            images=np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 28, 28, 1), np.uint8),
            labels=LABELS,
            probabilities=probabilities,
            test_accuracy=0.5,
        )
        return content, (tmp_path / "index.html").read_text(encoding="utf-8")

    return write


class Page(HTMLParser):
    """The tags of a page, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))


def test_report_json_holds_every_measured_number(write: Write, tmp_path: Path) -> None:
    content, _ = write()
    measured = {"parameters": 1234, "seconds": 10.0, "images_per_second": 60.0}
    assert content == {
        "winner": "dropout",
        "version": 3,
        "validation_accuracy": 0.875,
        "test_accuracy": 0.5,
        "models": {
            "plain": {**measured, "validation_accuracy": 0.85},
            "dropout": {**measured, "validation_accuracy": 0.875},
        },
        "run": "r1",
        "data_sha256": "d",
        "code_sha256": "c",
        "software": SOFTWARE,
        "settings": SETTINGS,
        "digest": "digest of dropout",
        "confusion_matrix": [[1, 1, 0], [1, 1, 0], [0, 0, 0]],
        "classes": {
            "Bag": {"precision": 0.5, "recall": 0.5, "f1": 0.5},
            "Coat": {"precision": 0.5, "recall": 0.5, "f1": 0.5},
            "<Shirt>": {"precision": 0.0, "recall": 0.0, "f1": 0.0},
        },
    }
    assert json.loads((tmp_path / "report.json").read_text()) == content


def test_the_most_confident_mistake_comes_first() -> None:
    images = np.zeros((4, 28, 28, 1), np.uint8)
    mistakes = report.most_confident_mistakes(images, LABELS, PROBABILITIES, NAMES)
    assert [(m["index"], m["true"], m["predicted"], round(m["probability"], 4)) for m in mistakes] == [
        (1, "Bag", "Coat", 0.7),
        (3, "Coat", "Bag", 0.6),
    ]


def test_the_report_shows_at_most_twenty_mistakes() -> None:
    images, labels = np.zeros((30, 28, 28, 1), np.uint8), np.zeros(30, np.int64)
    probabilities = np.tile(np.array([0, 1], np.float32), (30, 1))
    mistakes = report.most_confident_mistakes(images, labels, probabilities, ["a", "b"])
    assert [mistake["index"] for mistake in mistakes] == list(range(20))


def test_the_report_page_of_a_perfect_model_shows_no_mistakes(write: Write) -> None:
    _, page = write(probabilities=np.eye(3, dtype=np.float32)[LABELS])
    assert "The model classifies every test image correctly." in page


def test_the_report_page_starts_with_the_result(write: Write) -> None:
    _, page = write()
    heading = page.partition("<h1>")[2].partition("</h1>")[0]
    assert " ".join(heading.split()) == (
        "Version 3, the model “dropout”, classifies 50.00&nbsp;% of 4 test images correctly"
    )


def test_the_winner_comes_first_and_alone_has_a_test_accuracy(write: Write) -> None:
    _, page = write()
    cells = [row.split("</td>")[:2] for row in page.partition("<tbody>")[2].partition("</tbody>")[0].split("<td>")]
    assert [cell[0] for cell in cells][1:3] == ["0.8750", "0.5000"]
    assert [cell[0] for cell in cells][6:8] == ["0.8500", "–"]


def test_the_report_page_loads_no_other_file(write: Write) -> None:
    tags = Page(write()[1]).tags
    images = [attributes["src"] or "" for tag, attributes in tags if tag == "img"]
    assert [source.partition(";")[0] for source in images] == ["data:image/svg+xml"] * 2 + ["data:image/png"] * 2
    assert not {"link", "script", "iframe", "object"} & {tag for tag, _ in tags}


def test_every_image_of_the_report_page_has_an_alternative_text(write: Write) -> None:
    texts = [attributes["alt"] for tag, attributes in Page(write()[1]).tags if tag == "img"]
    assert texts == [
        "Training loss by epoch. After the last epoch: plain 0.5000; dropout 0.5000.",
        "Validation accuracy by epoch. After the last epoch: plain 0.8500; dropout 0.8750.",
        "Test image 1: Bag, predicted as Coat",
        "Test image 3: Coat, predicted as Bag",
    ]


def test_the_report_page_escapes_markup_in_names(write: Write) -> None:
    _, page = write()
    assert "&lt;Shirt&gt;" in page
    assert "<Shirt>" not in page


def test_the_report_page_lists_settings_run_digest_and_software(write: Write) -> None:
    _, page = write()
    section = page.partition("How the model was made")[2]
    for text in ("dropout, 1,234 parameters", "learning rate</dt><dd>0.002", "r1", "digest of dropout"):
        assert text in section
    assert "tensorflow 2.99.1, keras 3.99.2" in section


def test_importing_the_report_does_not_load_tensorflow() -> None:
    code = "import sys; from distml.publishing import report; sys.exit('tensorflow' in sys.modules)"
    environment = {"PYTHONPATH": str(SOURCE)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
