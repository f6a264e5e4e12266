"""The candidates of a run: its trained models on the volume. A candidate counts only if its files verify."""

from collections.abc import Sequence
from pathlib import Path

from distml.model import manifest as model_manifest
from distml.step import outcome
from distml.step.progress_bar import say
from distml.step.volume import Volume


def unfinished(volume: Volume, run: str, models: Sequence[str], announce: bool = True) -> list[str]:
    """Return the models without a verified candidate in `run`; with `announce`, print those that have one."""
    missing = []
    for model in models:
        if not is_finished(volume.candidate(run, model), announce):
            missing.append(model)
        elif announce:
            say(f"{model}: already trained in run {run}; its files verify")
    return missing


def is_finished(candidate: Path, announce: bool) -> bool:
    """Return whether the candidate exists and verifies; with `announce`, print what is damaged."""
    try:
        model_manifest.verified(candidate)
    except outcome.StepError as error:
        if announce and candidate.exists():
            say(f"{str(error).partition(';')[0]}; training {candidate.name} again")
        return False
    return True


def newest_run(volume: Volume) -> str:
    """Return the run with the newest verified candidate."""
    created = {}
    for folder in sorted(volume.runs.glob("*/candidates/*")):
        if folder.name.startswith("."):
            continue
        try:
            created[model_manifest.verified(folder)["created"]] = folder.parent.parent.name
        except outcome.StepError as error:
            say(f"candidate left out: {error}")
    if not created:
        raise outcome.StepError(f"no verified candidate in {volume.runs}; train a model first")
    return created[max(created)]


def verified_manifests(
    volume: Volume, run: str, data_sha256: str, models: Sequence[str] | None = None
) -> dict[str, dict]:
    """Return the manifests, by model, of the candidates that may win; print why each other candidate is left out.

    A candidate that was trained on other data is left out: it may have seen the images of the validation split.

    Args:
        volume: the volume.
        run: the run.
        data_sha256: hash of the data set on the volume.
        models: the models that may win; None for all models of the run.

    Raises:
        StepError: no candidate is left.
    """
    manifests = {}
    for folder in sorted(volume.candidates(run).glob("[!.]*")):
        if models and folder.name not in models:
            continue
        try:
            manifest = model_manifest.verified(folder)
        except outcome.StepError as error:
            say(f"candidate left out: {error}")
            continue
        if manifest.get("data_sha256") == data_sha256:
            manifests[folder.name] = manifest
        else:
            say(f"candidate left out: {folder} was not trained on the data set in {volume.dataset}")
    if not manifests:
        wanted = f" of {', '.join(models)}" if models else ""
        raise outcome.StepError(
            f"run {run} has no verified candidate{wanted} in {volume.candidates(run)}; train a model first"
        )
    return manifests
