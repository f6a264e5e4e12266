"""Publish the candidate with the best validation accuracy if it passes the quality gate, and write the report.

    python3 /model-selection.py --volume /trained_model

Exits with 3 if the quality gate refuses the winner; the published versions then stay as they are.
"""

import argparse
import statistics
from functools import partial

from distml.data import fashion_mnist, input_pipeline
from distml.model import names, saved_model
from distml.publishing.report import report
from distml.publishing.selection import candidates, evaluation, quality_gate, scores
from distml.publishing.selection.candidates import Candidate
from distml.publishing.versions import conversion, publication
from distml.step import command_line, outcome
from distml.step.atomic_files import folder_beside, remove_abandoned, replace_folder
from distml.step.progress_bar import say, working
from distml.step.text_table import table
from distml.step.volume import Volume


def main(args: argparse.Namespace) -> None:
    volume = args.volume
    run = args.run or candidates.newest_run(volume)
    data_sha256 = fashion_mnist.verified_manifest(volume)["data_sha256"]
    remove_abandoned(volume.candidates(run) / "*")  # training skips finished candidates and never cleans up beside them
    seeds = None if args.seed is args.seeds is None else command_line.seeds_of(args)
    best = best_by_model(candidates.verified(volume, run, data_sha256, args.models, seeds))
    winner = next(iter(best))
    candidate = best[winner].folder
    model, manifest = saved_model.load(candidate)
    validation = input_pipeline.load(volume, "validation")
    accuracy = evaluation.accuracy_of(model, validation)
    accuracy_of_version = partial(evaluation.accuracy_of_version, split=validation)
    published = publication.current(volume)
    quality_gate.check(winner, accuracy, published, accuracy_of_version, args.accuracy_floor, args.tolerance)
    test = input_pipeline.load(volume, "test")
    probabilities = evaluation.predict(model, test)
    test_accuracy = scores.accuracy(probabilities, test.labels)
    facts = {"candidate_digest": manifest["digest"], "test_accuracy": test_accuracy}
    with working("converting the model and comparing both forms"):
        complete = partial(conversion.add, model=model, volume=volume)
        version = publication.publish_once(volume, candidate, facts, args.keep_versions, complete)
    with working("writing the report"), folder_beside(volume.run_report(run)) as work:
        content = report.write(
            work,
            manifests={name: one.manifest for name, one in best.items()},
            winner=winner,
            version=version,
            class_names=manifest["class_names"],
            images=test.images,
            labels=test.labels,
            probabilities=probabilities,
            test_accuracy=test_accuracy,
        )
        replace_folder(work, volume.run_report(run))
    report.copy(volume, run)
    say(summary(content, volume))


def best_by_model(found: list[Candidate]) -> dict[str, Candidate]:
    """Return each model's most accurate candidate; the model with the highest mean accuracy is the first."""
    by_model: dict[str, list[Candidate]] = {}
    for one in found:
        by_model.setdefault(one.model, []).append(one)
    means = {model: statistics.fmean(map(accuracy_of, own)) for model, own in by_model.items()}
    return {model: max(by_model[model], key=accuracy_of) for model in sorted(means, key=lambda m: -means[m])}


def accuracy_of(candidate: Candidate) -> float:
    """Return the validation accuracy at the end of a candidate's training, 0 to 1."""
    return candidate.manifest["metrics"]["validation_accuracy"]


def summary(content: dict, volume: Volume) -> str:
    """Return the last lines of a run: the models, the winner's test accuracy, and where the results are."""
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
    parser.add_argument(
        "--run", type=command_line.run_name, help="name of the run, a folder below runs/ (default: the newest run)"
    )
    parser.add_argument("--models", type=names.models, help="models that may win (default: all of the run)")
    parser.add_argument(
        "--seed", type=command_line.seed, help="first seed whose candidates may win (default: all seeds of the run)"
    )
    parser.add_argument(
        "--seeds", type=command_line.number_of_seeds, help="number of seeds, counted up from --seed (default: all)"
    )
    quality_gate.add_options(parser)
    parser.add_argument("--keep-versions", type=command_line.positive, default=5, help="published versions to keep")
    return parser.parse_args(argv)


if __name__ == "__main__":
    outcome.run(main, parse_args())
