"""The report of a run and the model card of its winner: a self-contained HTML page, and its numbers as JSON."""

import base64
import io
from pathlib import Path

import jinja2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from distml.model import image_decoding
from distml.publishing.selection import scores
from distml.step.atomic_files import folder_beside, replace_folder, write_json
from distml.step.volume import Volume

MISTAKES = 20
# Okabe and Ito's colours, which colour-blind readers can tell apart, and markers for prints without colour.
LINES = (("#0072B2", "o"), ("#D55E00", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#56B4E9", "v"), ("#E69F00", "P"))


def write(
    folder: Path,
    *,
    manifests: dict[str, dict],
    winner: str,
    version: int,
    class_names: list[str],
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    test_accuracy: float,
) -> dict:
    """Write `report.json` and `index.html` into `folder`.

    Args:
        folder: an existing folder; the caller renames it into place.
        manifests: the candidates' manifests, by model.
        winner: the published model, the only one that was evaluated on the test images.
        version: number of the published version.
        class_names: names of the classes, by label.
        images: the test images, uint8 [n, 28, 28, 1], 0 is black.
        labels: the test images' labels, int64 [n].
        probabilities: the winner's probabilities, float32 [n, classes].
        test_accuracy: the winner's test accuracy, 0 to 1.

    Returns:
        The content of `report.json`.
    """
    manifest = manifests[winner]
    confusion = scores.confusion_matrix(labels, probabilities.argmax(axis=1), len(class_names))
    content = {
        "winner": winner,
        "version": version,
        "validation_accuracy": manifest["metrics"]["validation_accuracy"],
        "test_accuracy": test_accuracy,
        "models": {name: facts_of_candidate(manifests[name]) for name in manifests},
        **{key: manifest[key] for key in ("run", "data_sha256", "code_sha256", "software", "settings", "digest")},
        "confusion_matrix": confusion.tolist(),
        "classes": scores.by_class(confusion, class_names),
    }
    write_json(folder / "report.json", content)
    page = template().render(
        report=content,
        ranking=sorted(manifests, key=lambda name: manifests[name]["metrics"]["validation_accuracy"], reverse=True),
        class_names=class_names,
        created=manifest["created"],
        curves=learning_curves(manifests, winner),
        mistakes=most_confident_mistakes(images, labels, probabilities, class_names),
        test_images=len(labels),
    )
    (folder / "index.html").write_text(page, encoding="utf-8")
    return content


def copy(volume: Volume, run: str) -> None:
    """Copy the run's report to `volume.report`, which always has the newest report."""
    with folder_beside(volume.report) as work:
        for file in volume.run_report(run).iterdir():
            (work / file.name).write_bytes(file.read_bytes())
        replace_folder(work, volume.report)


def facts_of_candidate(manifest: dict) -> dict:
    """Return the numbers that the report shows for every candidate."""
    metrics = manifest["metrics"]
    return {
        "parameters": manifest["parameters"],
        "seconds": metrics["seconds"],
        "images_per_second": metrics["images_per_second"],
        "validation_accuracy": metrics["validation_accuracy"],
    }


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
            "image": data_uri(image_decoding.png(images[index]), "image/png"),
            "true": class_names[labels[index]],
            "predicted": class_names[predicted[index]],
            "probability": float(confidence[index]),
        }
        for index in wrong
    ]


def learning_curves(manifests: dict[str, dict], winner: str) -> list[dict[str, str]]:
    """Return one figure per measure over the epochs: its data URI and its alternative text."""
    figures = []
    for key, title in (("loss", "Training loss"), ("validation_accuracy", "Validation accuracy")):
        curves = {name: [epoch[key] for epoch in manifests[name]["metrics"]["history"]] for name in manifests}
        last = "; ".join(f"{name} {values[-1]:.4f}" for name, values in curves.items())
        text = f"{title} by epoch. After the last epoch: {last}."
        figures.append({"image": curve(title, curves, winner), "text": text})
    return figures


def curve(title: str, curves: dict[str, list[float]], winner: str) -> str:
    """Return an SVG with one line per model, as a data URI."""
    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    axes = figure.subplots()
    for number, (name, values) in enumerate(curves.items()):
        colour, marker = LINES[number % len(LINES)]
        width, label = (2.4, f"{name} (winner)") if name == winner else (1.4, name)
        axes.plot(range(1, len(values) + 1), values, color=colour, marker=marker, lw=width, ms=5, label=label)
    axes.set_title(title, loc="left", fontsize=12)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(color="#dddddd", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    svg = io.BytesIO()
    figure.savefig(svg, format="svg")
    return data_uri(svg.getvalue(), "image/svg+xml")


def data_uri(content: bytes, media_type: str) -> str:
    """Return `content` as a data URI, which keeps the page self-contained."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def template() -> jinja2.Template:
    """Return the page's template, which escapes every value and fails on a name that `write` does not pass."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).resolve().parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")
