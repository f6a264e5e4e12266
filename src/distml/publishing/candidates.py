"""The candidates of a run: trained models on the volume, each whole and verified, or not there."""

from collections.abc import Sequence
from pathlib import Path

from distml.model import manifest
from distml.step import outcome
from distml.step.progress_bar import say
from distml.step.volume import Volume


def unfinished(volume: Volume, run: str, models: Sequence[str], speaks: bool = True) -> list[str]:
    """The models that have no verified candidate in `run`; says which have one if this process `speaks`."""
    missing = []
    for model in models:
        if not is_finished(volume.candidate(run, model), speaks):
            missing.append(model)
        elif speaks:
            say(f"{model}: already trained in run {run}; its files verify")
    return missing


def is_finished(candidate: Path, speaks: bool) -> bool:
    """Whether the candidate is there and verifies; one that is damaged is named if this process `speaks`."""
    try:
        manifest.verified(candidate)
    except outcome.StepError as error:
        if speaks and candidate.exists():
            say(f"{str(error).partition(';')[0]}; training it again")
        return False
    return True
