"""Publish the best candidate of the most accurate model if it passes the quality gate, and write the report.

    python3 /model-selection.py --volume /trained_model

Exits with 3 if the quality gate refuses the winner; the published versions then stay as they are.
"""

import argparse
from functools import partial

from distml.data import fashion_mnist, input_pipeline
from distml.data.input_pipeline import Split
from distml.model import names, saved_model
from distml.publishing import runs
from distml.publishing.report import report, summary
from distml.publishing.selection import candidates, evaluation, lead, quality_gate, ranking, scores
from distml.publishing.selection.ranking import Evaluated, RankedModel
from distml.publishing.versions import conversion, decisions, publication, signature
from distml.step import command_line, outcome
from distml.step.atomic_files import remove_abandoned
from distml.step.progress_bar import say, working


def main(args: argparse.Namespace) -> None:
    volume = args.volume
    run = args.run or candidates.newest_run(volume)
    runs.mark_used(volume, run)
    data_sha256 = fashion_mnist.verified_manifest(volume)["data_sha256"]
    validation = input_pipeline.load(volume, "validation")
    models = rank_models(args, run, data_sha256, validation)
    say(announcement(models[0]))
    best = models[0].best
    check_quality(args, best, data_sha256, validation)
    model, manifest = saved_model.load(best.candidate.folder)
    test = input_pipeline.load(volume, "test")
    probabilities = evaluation.predict(model, test, best.candidate.name)
    facts = {
        "candidate_digest": manifest["digest"],
        "validation_accuracy": best.accuracy,
        "test_accuracy": scores.accuracy(probabilities, test.labels),
    }
    with working("converting the model and comparing both forms"):
        complete = partial(conversion.add, model=model, volume=volume)
        version = publication.publish_once(
            volume, best.candidate.folder, facts, args.keep_versions, complete, args.signing_key
        )
    with working("writing the report"):
        content = report.write(
            volume,
            run,
            ranking=models,
            comparisons=lead.compare(best, [other.best for other in models[1:]]),
            version=version,
            images=test.images,
            labels=test.labels,
            probabilities=probabilities,
        )
    say(summary.render(content, volume))


def rank_models(args: argparse.Namespace, run: str, data_sha256: str, validation: Split) -> list[RankedModel]:
    """Evaluate the run's candidates as they would be served, on the validation images; return the models in order."""
    volume = args.volume
    remove_abandoned(volume.candidates(run) / "*")  # training skips finished candidates and never cleans up beside them
    seeds = None if args.seed is None and args.seeds is None else command_line.seeds_of(args)
    found = candidates.verified(volume, run, data_sha256, args.models, seeds)
    return ranking.rank(evaluation.evaluate(found, validation))


def announcement(winner: RankedModel) -> str:
    """Return a line about the winner."""
    if len(winner.candidates) == 1:
        return f"{winner.name} has the best validation accuracy: {winner.mean:.4f}"
    return (
        f"{winner.name} has the best mean validation accuracy of {len(winner.candidates)} seeds: {winner.mean:.4f};"
        f" that of seed {winner.best.candidate.seed} is its best: {winner.best.accuracy:.4f}"
    )


def check_quality(args: argparse.Namespace, winner: Evaluated, data_sha256: str, validation: Split) -> None:
    """Raise Refused if the quality gate refuses the winner's candidate."""
    class_names = winner.candidate.manifest["class_names"]
    confusion = scores.confusion_matrix(validation.labels, winner.predicted, len(class_names))
    by_class = scores.by_class(confusion, class_names)
    recalls = {name: values["recall"] for name, values in by_class.items()}
    best = quality_gate.best_version(decisions.complete(args.volume), data_sha256)
    quality_gate.check(winner.candidate.name, winner.accuracy, recalls, best, args)


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
    signature.add_signing_key(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    outcome.run(main, parse_args())
