"""The report of a run: its numbers and its page."""

import functools
import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pytest
from matplotlib.axes import Axes

from distml.publishing.report import charts, report
from distml.publishing.report.calibration import Bin
from distml.publishing.selection import lead
from distml.publishing.selection.ranking import Evaluated, rank
from distml.step.volume import Volume
from support.evaluated import evaluated
from support.project import SOURCE

NAMES = ["Bag", "Coat", "<Shirt>"]
LABELS = np.array([0, 0, 1, 1])
PROBABILITIES = np.array([[0.9, 0.1, 0], [0.3, 0.7, 0], [0.2, 0.8, 0], [0.6, 0.4, 0]], np.float32)
SOFTWARE = {"tensorflow": "2.99.1", "keras": "3.99.2"}
SETTINGS = {"workers": 2, "epochs": 2, "batch_per_worker": 64, "learning_rate": 0.002}


class Written(NamedTuple):
    """A report: the content of `report.json`, the page, and the volume that has both."""

    content: dict[str, Any]
    page: str
    volume: Volume


Write = Callable[..., Written]


def candidate(model: str, seed: int, right: str) -> Evaluated:
    epoch = {"loss": 0.5, "validation_accuracy": 0.8, "learning_rate": 0.1, "images_per_second": 60.0, "seconds": 5.0}
    last = {**epoch, "validation_accuracy": 0.9}
    return evaluated(
        model,
        seed,
        right,
        digest=f"digest of {model}",
        run="r1",
        data_sha256="d",
        code_sha256="c",
        software=SOFTWARE,
        settings=SETTINGS,
        metrics={"seconds": 10.0, "images_per_second": 60.0, "history": [epoch, last]},
        parameters=1234,
        class_names=NAMES,
        created="2026-01-02T03:04:05+00:00",
    )


ONE_SEED = [candidate("plain", 1, "11110000"), candidate("dropout", 1, "11111100")]
RUNS = {
    "one seed": ONE_SEED,
    "two seeds": [*ONE_SEED, candidate("plain", 2, "11100000"), candidate("dropout", 2, "11111110")],
    "far apart": [
        candidate(*one) for one in (("plain", 1, "0" * 20), ("dropout", 1, "1" * 20), ("other", 1, "0" * 20))
    ],
    "one model": [candidate("plain", 1, "11")],
}


@pytest.fixture(scope="module")
def write(tmp_path_factory: pytest.TempPathFactory) -> Write:
    """Return a function that writes a report, once for the same arguments; it returns content, page and volume."""

    @functools.cache
    def write(run: str = "one seed", perfect: bool = False) -> Written:
        volume, ranking = Volume(tmp_path_factory.mktemp("volume")), rank(RUNS[run])
        content = report.write(
            volume,
            "r1",
            ranking=ranking,
            comparisons=lead.compare(ranking[0].best, [other.best for other in ranking[1:]]),
            version=3,
            images=np.arange(4, dtype=np.uint8)[:, None, None, None] * np.ones((1, 28, 28, 1), np.uint8),
            labels=LABELS,
            probabilities=np.eye(3, dtype=np.float32)[LABELS] if perfect else PROBABILITIES,
        )
        return Written(content, (volume.report / "index.html").read_text(encoding="utf-8"), volume)

    return write


class Page(HTMLParser):
    """The tags of a page, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))


def section(page: str, title: str) -> str:
    """Return the text of a section, with single blanks and without markup."""
    found = page.partition(f"<h2>{title}</h2>")[2].partition("<h2>")[0]
    return " ".join(re.sub(r"<[^>]*>", " ", found).replace("&nbsp;", " ").split())


def test_report_json_holds_every_measured_number(write: Write) -> None:
    content, _, volume = write()
    measured = {"parameters": 1234, "seconds": 10.0, "images_per_second": 60.0, "seed": 1}
    assert content == {
        "winner": "dropout",
        "seed": 1,
        "version": 3,
        "validation_accuracy": 0.75,
        "validation_interval": [0.4093, 0.9285],
        "validation_images": 8,
        "test_accuracy": 0.5,
        "test_interval": [0.15, 0.85],
        "test_images": 4,
        "verdict": "lead within chance",
        "comparisons": [{"model": "plain", "seed": 1, "only_winner": 2, "only_other": 0, "p": 0.5, "adjusted_p": 0.5}],
        "models": {
            "dropout": {
                **measured,
                **{"validation_accuracy": 0.75, "validation_interval": [0.4093, 0.9285], "seeds": {"1": 0.75}},
                **{"mean": 0.75, "lowest": 0.75, "highest": 0.75, "standard_deviation": None},
            },
            "plain": {
                **measured,
                **{"validation_accuracy": 0.5, "validation_interval": [0.2152, 0.7848], "seeds": {"1": 0.5}},
                **{"mean": 0.5, "lowest": 0.5, "highest": 0.5, "standard_deviation": None},
            },
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
        "calibration": content["calibration"],
    }
    assert json.loads((volume.report / "report.json").read_text()) == content


def test_report_json_has_the_spread_of_several_seeds(write: Write) -> None:
    content = write("two seeds").content
    assert (content["winner"], content["seed"], content["validation_accuracy"]) == ("dropout", 2, 0.875)
    spread = {key: content["models"]["plain"][key] for key in ("seeds", "mean", "lowest", "highest")}
    assert spread == {"seeds": {"1": 0.5, "2": 0.375}, "mean": 0.4375, "lowest": 0.375, "highest": 0.5}
    assert content["models"]["plain"]["standard_deviation"] == pytest.approx(0.125 / 2**0.5)


def test_report_json_has_the_bins_of_the_calibration(write: Write) -> None:
    found = write().content["calibration"]
    assert found["error"] == pytest.approx((0.1 + 0.7 + 0.2 + 0.6) / 4)
    assert found["confidence"] == pytest.approx((0.9 + 0.7 + 0.8 + 0.6) / 4)
    assert [(one["images"], one["right"]) for one in found["bins"]] == [(1, 0), (1, 0), (1, 1), (1, 1)]


def test_both_copies_of_the_report_link_to_the_history(write: Write) -> None:
    volume = write().volume
    for folder in (volume.report, volume.run_report("r1")):
        page = Page((folder / "index.html").read_text(encoding="utf-8"))
        (link,) = [attributes["href"] or "" for tag, attributes in page.tags if tag == "a"]
        assert (folder / link).resolve() == volume.history


def test_the_report_page_says_how_sure_the_lead_is(write: Write) -> None:
    text = section(write().page, "How sure is this?")
    assert text.startswith(
        "dropout-seed1: lead within chance. On other images of this kind the other candidate could come first"
    )
    assert (
        "adjusted p plain-seed1 2 0 0.5 Only the images on which exactly one of two candidates is right count" in text
    )
    assert "Test accuracy of dropout-seed1: 0.5000, interval 0.1500 to 0.8500." in text


def test_the_report_page_explains_a_lead_beyond_chance(write: Write) -> None:
    text = section(write("far apart").page, "How sure is this?")
    assert text.startswith(
        "dropout-seed1: lead beyond chance. If dropout-seed1 and one of the other candidates were equally accurate,"
        " fewer than 1 in 20 sets of 20 images would show a lead as large as this one."
    )
    assert "beyond chance although the intervals above, each of one candidate by itself, overlap" in text


@pytest.mark.parametrize("run", ["one seed", "two seeds", "far apart"])
def test_the_report_page_never_claims_more_than_the_test_covers(write: Write, run: str) -> None:
    text = section(write(run).page, "How sure is this?")
    assert "covers the choice of the images only: with other seeds it may be different." in text


def test_the_report_page_of_a_single_model_compares_with_none(write: Write) -> None:
    text = section(write("one model").page, "How sure is this?")
    assert text.startswith("plain-seed1: no other model to compare with. This run has a single model. Line: the 95")
    assert "McNemar" not in text
    assert "make run SEEDS=3 or the workflow's parameter seeds shows how different." in text


def test_the_report_page_shows_the_spread_only_for_several_seeds(write: Write) -> None:
    text = section(write("two seeds").page, "How sure is this?")
    assert "dropout 2 0.8125 0.7500 0.8750 0.0884 plain 2 0.4375 0.3750 0.5000 0.0884" in text
    assert "only dropout-seed2 right only the other right adjusted p plain-seed1 3 0 0.25 " in text
    assert "higher than that of plain by 0.3750 (standard deviations 0.0884 and 0.0884). A lead that is small" in text
    assert "standard deviation" not in section(write().page, "How sure is this?")


def test_the_report_page_shows_the_calibration_error_on_the_test_images(write: Write) -> None:
    text = section(write().page, "Calibration")
    assert "(the probability of the predicted class) is 75.0 %, and the accuracy 50.0 %. In the bins below" in text
    assert "differ on average by 40.0 percentage points (expected calibration error)" in text
    assert "Bins with fewer than 10 images have no point." in text


def test_the_chart_leaves_out_the_accuracy_of_bins_of_few_images() -> None:
    bins = [Bin(0.2, 0.6, 9, 1, confidence=0.5), Bin(0.6, 1.0, 10, 9, confidence=0.9)]
    with patch.object(Axes, "errorbar") as errorbar:
        charts.reliability("title", bins)
    assert errorbar.call_args.args[:2] == ([0.9], [0.9])


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
    page = write(perfect=True).page
    assert "The model classifies every test image correctly." in page


def test_the_report_page_starts_with_the_result(write: Write) -> None:
    page = write().page
    heading = page.partition("<h1>")[2].partition("</h1>")[0]
    assert " ".join(heading.split()) == (
        "Version 3, the model “dropout”, classifies 50.00&nbsp;% of 4 test images correctly"
    )


def test_the_winner_comes_first_and_alone_has_a_test_accuracy(write: Write) -> None:
    page = write().page
    cells = [row.split("</td>")[:2] for row in page.partition("<tbody>")[2].partition("</tbody>")[0].split("<td>")]
    assert [cell[0] for cell in cells][1:3] == ["0.7500", "0.5000"]
    assert [cell[0] for cell in cells][6:8] == ["0.5000", "–"]


def test_the_report_page_loads_no_other_file(write: Write) -> None:
    tags = Page(write().page).tags
    images = [attributes["src"] or "" for tag, attributes in tags if tag == "img"]
    assert [source.partition(";")[0] for source in images] == ["data:image/svg+xml"] * 4 + ["data:image/png"] * 2
    assert not {"link", "script", "iframe", "object"} & {tag for tag, _ in tags}


def test_every_image_of_the_report_page_has_an_alternative_text(write: Write) -> None:
    texts = [attributes["alt"] for tag, attributes in Page(write().page).tags if tag == "img"]
    assert texts == [
        "Validation accuracy, 95 % intervals: dropout 0.7500, 0.4093 to 0.9285; plain 0.5000, 0.2152 to 0.7848.",
        "Training loss by epoch. After the last epoch: dropout 0.5000; plain 0.5000.",
        "Validation accuracy by epoch. After the last epoch: dropout 0.9000; plain 0.9000.",
        "Reliability diagram. Confidence, accuracy (images) of each bin:"
        " 0.60 0.00 (1); 0.70 0.00 (1); 0.80 1.00 (1); 0.90 1.00 (1).",
        "Test image 1: Bag, predicted as Coat",
        "Test image 3: Coat, predicted as Bag",
    ]


def test_the_report_page_escapes_markup_in_names(write: Write) -> None:
    page = write().page
    assert "&lt;Shirt&gt;" in page
    assert "<Shirt>" not in page


def test_the_report_page_lists_settings_run_digest_and_software(write: Write) -> None:
    page = write().page
    section = page.partition("How the model was made")[2]
    for text in ("dropout, 1,234 parameters", "learning rate</dt><dd>0.002", "r1", "digest of dropout"):
        assert text in section
    assert "tensorflow 2.99.1, keras 3.99.2" in section


def test_importing_the_report_does_not_load_tensorflow() -> None:
    code = "import sys; from distml.publishing import report; sys.exit('tensorflow' in sys.modules)"
    environment = {"PYTHONPATH": str(SOURCE)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
