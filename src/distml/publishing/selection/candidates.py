"""The candidates of a run: its trained models on the volume. A candidate counts only if its files verify."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from distml.model import manifest as model_manifest
from distml.step import outcome
from distml.step.progress_bar import say
from distml.step.volume import Volume, candidate_name, model_and_seed


class Candidate(NamedTuple):
    """A model that was trained with one seed: its verified folder, and the folder's manifest."""

    model: str
    seed: int
    folder: Path
    manifest: dict[str, Any]

    @property
    def name(self) -> str:
        """The candidate's name in messages, such as `batchnorm-seed1`."""
        return candidate_name(self.model, self.seed)


def unfinished(
    volume: Volume, run: str, models: Sequence[str], seeds: Sequence[int], announce: bool = True
) -> list[tuple[str, int]]:
    """Return the models and seeds without a verified candidate in `run`; with `announce`, print those that have one."""
    missing = []
    for model in models:
        for seed in seeds:
            if not is_finished(volume.candidate(run, model, seed), announce):
                missing.append((model, seed))
            elif announce:
                say(f"{candidate_name(model, seed)}: already trained in run {run}; its files verify")
    return missing


def is_finished(folder: Path, announce: bool) -> bool:
    """Return whether a candidate's folder exists and verifies; with `announce`, print what is damaged."""
    try:
        model_manifest.verified(folder)
    except outcome.StepError as error:
        if announce and folder.exists():
            say(f"{str(error).partition(';')[0]}; training {folder.name} again")
        return False
    return True


def newest_run(volume: Volume) -> str:
    """Return the run with the newest verified candidate."""
    created = {}
    for folder in sorted(volume.runs.glob("[!.]*/candidates/[!.]*")):
        if candidate := _verified_or_left_out(folder):
            created[candidate.manifest["created"]] = folder.parent.parent.name
    if not created:
        raise outcome.StepError(f"no verified candidate in {volume.runs}; train a model first")
    return created[max(created)]


def verified(
    volume: Volume,
    run: str,
    data_sha256: str,
    models: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
) -> list[Candidate]:
    """Return the candidates that may win, sorted by model and seed; print why each other candidate is left out.

    A candidate that was trained on other data is left out: it may have seen the images of the validation split.

    Args:
        volume: the volume.
        run: the run.
        data_sha256: hash of the data set on the volume.
        models: the models that may win, in the order of the result; None for all models of the run, by name.
        seeds: the seeds that may win; None for all seeds of the run.

    Raises:
        StepError: no candidate is left.
    """
    found = []
    for folder in sorted(volume.candidates(run).glob("[!.]*")):
        model, seed = model_and_seed(folder.name) or (None, None)
        if model and ((models and model not in models) or (seeds and seed not in seeds)):
            continue
        candidate = _verified_or_left_out(folder)
        if candidate and candidate.manifest.get("data_sha256") != data_sha256:
            say(f"candidate left out: {folder} was not trained on the data set in {volume.dataset}")
        elif candidate:
            found.append(candidate)
    if not found:
        of_models = f" of {', '.join(models)}" if models else ""
        with_seeds = f" with seed {', '.join(map(str, seeds))}" if seeds else ""
        raise outcome.StepError(
            f"run {run} has no verified candidate{of_models}{with_seeds} in {volume.candidates(run)};"
            " train a model first"
        )
    return sorted(found, key=lambda one: (models.index(one.model) if models else one.model, one.seed))


def _verified_or_left_out(folder: Path) -> Candidate | None:
    """Return the verified candidate in a folder; otherwise print why it is left out."""
    named = model_and_seed(folder.name)
    try:
        if not named:
            raise outcome.StepError(
                f"{folder} is not named <model>-seed<seed>; an older release trained it, so train the model again"
            )
        return Candidate(*named, folder, model_manifest.verified(folder))
    except outcome.StepError as error:
        say(f"candidate left out: {error}")
        return None
