"""Publish the candidate with the best validation accuracy, if it is good enough, and write the report.

    python3 /model-selection.py --volume /trained_model

Exits with 3 when no candidate may be published; what is published then stays as it is.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from distml.data import fashion_mnist, input_pipeline
from distml.data.input_pipeline import Split
from distml.model import manifest as model_manifest
from distml.model import names, saved_model
from distml.publishing import conversion, report, versions
from distml.publishing.version_files import LITE_MODEL
from distml.step import command_line, outcome
from distml.step.atomic_files import folder_beside, remove_abandoned, replace_folder
from distml.step.progress_bar import counting, say, working
from distml.step.text_table import table
from distml.step.volume import Volume

# Images per call of the model.
AT_ONCE = 500


def main(args: argparse.Namespace) -> None:
    run = args.run or newest_run(args.volume)
    data_sha256 = fashion_mnist.verified_manifest(args.volume)["data_sha256"]
    remove_abandoned(args.volume.candidates(run) / "*")  # beside a finished candidate no training looks again
    manifests = verified_candidates(args.volume, run, data_sha256, args.models)
    winner = max(manifests, key=lambda name: manifests[name]["metrics"]["validation_accuracy"])
    candidate = args.volume.candidate(run, winner)
    model, manifest = saved_model.load(candidate)
    check_quality(args, winner, model)
    test = input_pipeline.load(args.volume, "test")
    probabilities = predict(model, test)
    test_accuracy = accuracy(probabilities, test.labels)
    facts = {"candidate_digest": manifest["digest"], "test_accuracy": test_accuracy}
    with working("converting the model, and comparing the two"):
        version = publish_once(args, candidate, facts, partial(conversion.add, model=model, volume=args.volume))
    with working("writing the report"), folder_beside(args.volume.run_report(run)) as work:
        content = report.write(
            work,
            manifests=manifests,
            winner=winner,
            version=version,
            class_names=manifest["class_names"],
            images=test.images,
            labels=test.labels,
            probabilities=probabilities,
            test_accuracy=test_accuracy,
        )
        replace_folder(work, args.volume.run_report(run))
    copy_report(args.volume, run)
    say(summary(content, args.volume))


def newest_run(volume: Volume) -> str:
    """The run whose newest verified candidate was created last."""
    created = {}
    for folder in sorted(volume.runs.glob("*/candidates/*")):
        if folder.name.startswith("."):
            continue
        try:
            created[model_manifest.verified(folder)["created"]] = folder.parent.parent.name
        except outcome.StepError as error:
            say(f"left out: {error}")
    if not created:
        raise outcome.StepError(f"no verified candidate in {volume.runs}; train a model first")
    return created[max(created)]


def verified_candidates(volume: Volume, run: str, data_sha256: str, models: list[str] | None = None) -> dict[str, dict]:
    """The manifests of a run's candidates that verify, by model; the others are named and left out.

    One that was trained on other data may have seen the images that it would be judged by.

    Args:
        volume: the volume.
        run: which run's.
        data_sha256: of the data on the volume.
        models: the only ones that count; None: all of the run.

    Raises:
        StepError: none is left.
    """
    manifests = {}
    for folder in sorted(volume.candidates(run).glob("[!.]*")):
        if models and folder.name not in models:
            continue
        try:
            manifest = model_manifest.verified(folder)
        except outcome.StepError as error:
            say(f"left out: {error}")
            continue
        if manifest.get("data_sha256") == data_sha256:
            manifests[folder.name] = manifest
        else:
            say(f"left out: {folder} was trained on other data than {volume.dataset} holds")
    if not manifests:
        wanted = f" of {', '.join(models)}" if models else ""
        raise outcome.StepError(
            f"run {run} has no verified candidate{wanted} in {volume.candidates(run)}; train a model first"
        )
    return manifests


def check_quality(args: argparse.Namespace, winner: str, model: Any) -> None:
    """Refuse a winner below the floor, or worse than the published version on the same validation images.

    Raises:
        Refused: it is not good enough.
    """
    validation = input_pipeline.load(args.volume, "validation")
    reached = accuracy(predict(model, validation), validation.labels)
    say(f"{winner} has the best validation accuracy: {reached:.4f}")
    if reached < args.accuracy_floor:
        raise outcome.Refused(
            f"not published: {winner}'s validation accuracy {reached:.4f} is below the floor {args.accuracy_floor:g};"
            " train longer, or lower --accuracy-floor"
        )
    published = versions.current(args.volume)
    if published is None:
        return
    model, _ = saved_model.load(published)
    before = accuracy(predict(model, validation), validation.labels)
    if reached < before - args.tolerance:
        raise outcome.Refused(
            f"not published: {winner}'s validation accuracy {reached:.4f} is more than {args.tolerance:g} below version"
            f" {published.name}'s {before:.4f}; train longer, or raise --tolerance"
        )


def predict(model: Any, split: Split) -> np.ndarray:
    """Ask a loaded SavedModel, as a server would, about every image: probabilities, float32 [n, 10]."""
    ask = model.signatures["serving_arrays"]
    parts = []
    with counting("asking the model about images", len(split), "images") as bar:
        for at in range(0, len(split), AT_ONCE):
            parts.append(ask(images=split.images[at : at + AT_ONCE])["probabilities"].numpy())
            bar.advance(len(parts[-1]))
    return np.concatenate(parts)


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """The share of images, 0 to 1, whose label int64 [n] has the highest of its probabilities [n, 10]."""
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def publish_once(args: argparse.Namespace, candidate: Path, facts: dict, complete: Callable[[Path], dict]) -> int:
    """Publish, unless the newest version came from this very candidate; returns the version's number.

    `facts` and `complete` are `versions.publish`'s; `candidate_digest` in `facts` names the candidate.
    """
    published = versions.current(args.volume)
    if published:
        manifest = model_manifest.verified(published)
        if manifest.get("candidate_digest") == facts["candidate_digest"] and LITE_MODEL in manifest["files"]:
            say(f"already published as version {published.name}; its files verify")
            return int(published.name)
    version = versions.publish(args.volume, candidate, facts, args.keep_versions, complete)
    say(f"published as version {version}")
    return version


def copy_report(volume: Volume, run: str) -> None:
    """Put the run's report where the newest one is always found."""
    with folder_beside(volume.report) as work:
        for file in volume.run_report(run).iterdir():
            (work / file.name).write_bytes(file.read_bytes())
        replace_folder(work, volume.report)


def summary(content: dict, volume: Volume) -> str:
    """The table that a run ends with."""
    rows: list[tuple] = [("model", "parameters", "training", "images/s", "validation accuracy", "")]
    for name, model in content["models"].items():
        rows.append(
            (
                name,
                f"{model['parameters']:,}",
                f"{model['seconds']:.0f} s",
                f"{model['images_per_second']:,.0f}",
                f"{model['validation_accuracy']:.4f}",
                "winner" if name == content["winner"] else "",
            )
        )
    return "\n".join(
        (
            "",
            table(rows),
            "",
            f"test accuracy of {content['winner']}: {content['test_accuracy']:.4f}",
            f"report:          {volume.report / 'index.html'}",
            f"published model: {volume.version(content['version'])}",
        )
    )


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = command_line.step_parser(__doc__.splitlines()[0])
    parser.add_argument("--run", type=command_line.run_name, help="folder below runs/ (default: the newest run)")
    parser.add_argument("--models", type=names.models, help="which models may win (default: all of the run)")
    command_line.add_limits(parser)
    parser.add_argument("--keep-versions", type=command_line.positive, default=5, help="published versions to keep")
    return parser.parse_args(argv)


if __name__ == "__main__":
    outcome.run(main, parse_args())
