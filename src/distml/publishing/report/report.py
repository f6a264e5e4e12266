"""The report of a run and the model card of its winner: a self-contained HTML page, and its numbers as JSON."""

import os
from collections.abc import Sequence

import numpy as np

from distml.model import image_decoding
from distml.publishing.report import calibration, charts, templates
from distml.publishing.selection import certainty, lead, scores
from distml.publishing.selection.lead import Comparison, Verdict
from distml.publishing.selection.ranking import RankedModel
from distml.step.atomic_files import folder_beside, replace_folder, write_json
from distml.step.volume import Volume, candidate_name

MISTAKES = 20


def write(
    volume: Volume,
    run: str,
    *,
    ranking: Sequence[RankedModel],
    comparisons: Sequence[Comparison],
    version: int,
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
) -> dict:
    """Write `report.json` and `index.html` into the run's report, and into the volume's, which is always the newest.

    Args:
        volume: the volume.
        run: the run.
        ranking: the models of the run; the first one's best candidate was published.
        comparisons: the comparisons of this candidate with the other models' best ones.
        version: number of the published version.
        images: the test images, uint8 [n, 28, 28, 1], 0 is black.
        labels: the test images' labels, int64 [n].
        probabilities: the winner's probabilities, float32 [n, classes]; no other model saw the test images.

    Returns:
        The content of `report.json`.
    """
    class_names = ranking[0].best.candidate.manifest["class_names"]
    bins = calibration.bins(probabilities, labels)
    content = {
        **facts_of_winner(ranking[0], version),
        **facts_of_test(labels, probabilities, class_names),
        "verdict": str(lead.verdict(comparisons)),
        "comparisons": [comparison._asdict() for comparison in comparisons],
        "models": {model.name: facts_of_model(model) for model in ranking},
        "calibration": facts_of_calibration(bins),
    }
    mistakes = most_confident_mistakes(images, labels, probabilities, class_names)
    values = {**values_of_page(content, ranking), "reliability": chart_of_reliability(bins), "mistakes": mistakes}
    page = templates.template("report.html.j2")
    for folder in (volume.run_report(run), volume.report):
        with folder_beside(folder) as work:
            write_json(work / "report.json", content)
            history = os.path.relpath(volume.history, folder)
            (work / "index.html").write_text(page.render(**values, history=history), encoding="utf-8")
            replace_folder(work, folder)
    return content


def values_of_page(content: dict, ranking: Sequence[RankedModel]) -> dict:
    """Return the values that the page shows of `report.json` and of the models."""
    manifest = ranking[0].best.candidate.manifest
    return {
        "report": content,
        "verdicts": Verdict,
        "candidate_name": candidate_name,
        "in_words": lead.in_words,
        "significance": certainty.SIGNIFICANCE,
        "fewest_images": charts.FEWEST_IMAGES,
        "seeds": max(len(model.candidates) for model in ranking),
        "class_names": manifest["class_names"],
        "created": manifest["created"],
        "curves": learning_curves(ranking),
        "intervals": chart_of_intervals(ranking),
    }


def facts_of_winner(model: RankedModel, version: int) -> dict:
    """Return the numbers of the winner on the validation images, and its origin."""
    manifest = model.best.candidate.manifest
    return {
        "winner": model.name,
        "seed": model.best.candidate.seed,
        "version": version,
        "validation_accuracy": model.best.accuracy,
        "validation_interval": rounded(model.best.interval),
        "validation_images": len(model.best.right),
        **{key: manifest[key] for key in ("run", "data_sha256", "code_sha256", "software", "settings", "digest")},
    }


def facts_of_test(labels: np.ndarray, probabilities: np.ndarray, class_names: list[str]) -> dict:
    """Return the winner's numbers on the test images."""
    confusion = scores.confusion_matrix(labels, probabilities.argmax(axis=1), len(class_names))
    return {
        "test_accuracy": scores.accuracy(probabilities, labels),
        "test_interval": rounded(certainty.interval(int(confusion.trace()), len(labels))),
        "test_images": len(labels),
        "confusion_matrix": confusion.tolist(),
        "classes": scores.by_class(confusion, class_names),
    }


def facts_of_model(model: RankedModel) -> dict:
    """Return the numbers of a model: those of its best candidate, and how its seeds differ."""
    manifest = model.best.candidate.manifest
    metrics = manifest["metrics"]
    return {
        "parameters": manifest["parameters"],
        "seconds": metrics["seconds"],
        "images_per_second": metrics["images_per_second"],
        "seed": model.best.candidate.seed,
        "validation_accuracy": model.best.accuracy,
        "validation_interval": rounded(model.best.interval),
        "seeds": {str(one.candidate.seed): one.accuracy for one in model.candidates},
        "mean": model.mean,
        "lowest": model.lowest,
        "highest": model.best.accuracy,
        "standard_deviation": model.deviation,
    }


def facts_of_calibration(bins: Sequence[calibration.Bin]) -> dict:
    """Return the winner's confidence on the test images beside its accuracy: over all of them, and in each bin."""
    return {
        "confidence": calibration.mean_confidence(bins),
        "error": calibration.expected_error(bins),
        "bins": [one._asdict() for one in bins],
    }


def rounded(interval: tuple[float, float]) -> list[float]:
    """Return the ends of an interval with four decimals."""
    return [round(end, 4) for end in interval]


def most_confident_mistakes(
    images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray, class_names: list[str]
) -> list[dict]:
    """Return the `MISTAKES` wrong answers with the highest probability, highest first."""
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != labels)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")][:MISTAKES]
    return [
        {
            "index": int(index),
            "image": charts.data_uri(image_decoding.png(images[index]), "image/png"),
            "true": class_names[labels[index]],
            "predicted": class_names[predicted[index]],
            "probability": float(confidence[index]),
        }
        for index in wrong
    ]


def learning_curves(ranking: Sequence[RankedModel]) -> list[dict[str, str]]:
    """Return one chart per measure over the epochs, of each model's best candidate: image and alternative text."""
    histories = {model.name: model.best.candidate.manifest["metrics"]["history"] for model in ranking}
    figures = []
    for key, title in (("loss", "Training loss"), ("validation_accuracy", "Validation accuracy")):
        curves = {name: [epoch[key] for epoch in history] for name, history in histories.items()}
        last = "; ".join(f"{name} {values[-1]:.4f}" for name, values in curves.items())
        text = f"{title} by epoch. After the last epoch: {last}."
        figures.append({"image": charts.curve(title, curves, ranking[0].name), "text": text})
    return figures


def chart_of_intervals(ranking: Sequence[RankedModel]) -> dict[str, str]:
    """Return the chart of the accuracies with their intervals, and its alternative text."""
    title = "Validation accuracy, 95 % intervals"
    rows = []
    for model in ranking:
        low, high = model.best.interval
        rows.append(f"{model.name} {model.best.accuracy:.4f}, {low:.4f} to {high:.4f}")
    return {"image": charts.intervals(title, ranking), "text": f"{title}: {'; '.join(rows)}."}


def chart_of_reliability(bins: Sequence[calibration.Bin]) -> dict[str, str]:
    """Return the reliability diagram, and its alternative text."""
    rows = [f"{one.confidence:.2f} {one.accuracy:.2f} ({one.images})" for one in bins]
    text = f"Reliability diagram. Confidence, accuracy (images) of each bin: {'; '.join(rows)}."
    return {"image": charts.reliability("Accuracy by confidence", bins), "text": text}
