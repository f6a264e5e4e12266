"""Publish the candidate with the best validation accuracy, if it is good enough, and write the report.

    python3 /model-selection.py --volume /trained_model

Exits with 3 when no candidate may be published; what is published then stays as it is.
"""

import argparse
from pathlib import Path

import numpy as np

import input_pipeline
import model_manifest
import publication
import report
import run_identity
import saved_model
import step
from volume import Volume, folder_beside, replace_folder


def main(args: argparse.Namespace) -> None:
    run = args.run or newest_run(args.volume)
    manifests = verified_candidates(args.volume, run)
    winner = max(manifests, key=lambda name: manifests[name]["metrics"]["validation_accuracy"])
    candidate = args.volume.candidate(run, winner)
    check_quality(args, winner, candidate)
    probabilities, labels, images = predict(candidate, args.volume, "test")
    test_accuracy = accuracy(probabilities, labels)
    version = publish_once(args, candidate, manifests[winner]["digest"], test_accuracy)
    with folder_beside(args.volume.run_report(run)) as work:
        content = report.write(
            work,
            manifests=manifests,
            winner=winner,
            version=version,
            class_names=manifests[winner]["class_names"],
            images=images,
            labels=labels,
            probabilities=probabilities,
            test_accuracy=test_accuracy,
        )
        replace_folder(work, args.volume.run_report(run))
    copy_report(args.volume, run)
    print(summary(content, args.volume), flush=True)


def newest_run(volume: Volume) -> str:
    """The run whose newest verified candidate was created last."""
    created = {}
    for folder in sorted(volume.runs.glob("*/candidates/*")):
        if folder.name.startswith("."):
            continue
        try:
            created[model_manifest.verified(folder)["created"]] = folder.parent.parent.name
        except step.StepError as error:
            print(f"left out: {error}", flush=True)
    if not created:
        raise step.StepError(f"no verified candidate in {volume.runs}; train a model first")
    return created[max(created)]


def verified_candidates(volume: Volume, run: str) -> dict[str, dict]:
    """The manifests of a run's candidates that verify, by model; the others are named and left out."""
    manifests = {}
    for folder in sorted(volume.candidates(run).glob("[!.]*")):
        try:
            manifests[folder.name] = model_manifest.verified(folder)
        except step.StepError as error:
            print(f"left out: {error}", flush=True)
    if not manifests:
        raise step.StepError(f"run {run} has no verified candidate in {volume.candidates(run)}; train a model first")
    return manifests


def check_quality(args: argparse.Namespace, winner: str, candidate: Path) -> None:
    """Refuse a winner below the floor, or worse than the published version on the same validation images."""
    probabilities, labels, _ = predict(candidate, args.volume, "validation")
    reached = accuracy(probabilities, labels)
    print(f"{winner} has the best validation accuracy: {reached:.4f}", flush=True)
    if reached < args.accuracy_floor:
        raise step.Refused(
            f"not published: {winner}'s validation accuracy {reached:.4f} is below the floor {args.accuracy_floor:g};"
            " train longer, or lower --accuracy-floor"
        )
    published = publication.current(args.volume)
    if published is None:
        return
    before = accuracy(*predict(published, args.volume, "validation")[:2])
    if reached < before - args.tolerance:
        raise step.Refused(
            f"not published: {winner}'s validation accuracy {reached:.4f} is more than {args.tolerance:g} below version"
            f" {published.name}'s {before:.4f}; train longer, or raise --tolerance"
        )


def predict(folder: Path, volume: Volume, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ask the SavedModel in `folder`, as a server would, about every image of a split.

    Returns:
        probabilities float32 [n, 10], labels int64 [n], images uint8 [n, 28, 28, 1].
    """
    data = input_pipeline.load(volume, split)
    model, _ = saved_model.load(folder)
    ask = model.signatures["serving_arrays"]
    parts = [ask(images=data.images[at : at + 500])["probabilities"].numpy() for at in range(0, len(data), 500)]
    return np.concatenate(parts), data.labels, data.images


def accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def publish_once(args: argparse.Namespace, candidate: Path, digest: str, test_accuracy: float) -> int:
    """Publish, unless the newest version came from this very candidate; returns the version's number."""
    published = publication.current(args.volume)
    if published and model_manifest.verified(published)["candidate_digest"] == digest:
        print(f"already published as version {published.name}; its files verify", flush=True)
        return int(published.name)
    facts = {"candidate_digest": digest, "test_accuracy": test_accuracy}
    version = publication.publish(args.volume, candidate, facts, args.keep_versions)
    print(f"published as version {version}", flush=True)
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
            step.table(rows),
            "",
            f"test accuracy of {content['winner']}: {content['test_accuracy']:.4f}",
            f"report:          {volume.report / 'index.html'}",
            f"published model: {volume.version(content['version'])}",
        )
    )


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = step.argument_parser(__doc__.splitlines()[0])
    parser.add_argument("--run", type=run_identity.run_name, help="folder below runs/ (default: the newest run)")
    parser.add_argument("--accuracy-floor", type=step.fraction, default=0.85, help="least validation accuracy")
    parser.add_argument("--tolerance", type=step.fraction, default=0.01, help="how far below the published version")
    parser.add_argument("--keep-versions", type=step.positive, default=5, help="published versions to keep")
    return parser.parse_args(argv)


if __name__ == "__main__":
    step.run(main, parse_args())
