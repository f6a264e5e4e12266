"""The export of a trained model: a candidate on the volume, whole and with its manifest, or not there."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from distml.model import manifest, saved_model, variants
from distml.step.atomic_files import folder_beside, replace_folder
from distml.step.progress_bar import say
from distml.step.volume import Volume


def export_candidate(volume: Volume, weights: Sequence[np.ndarray], facts: dict[str, Any]) -> None:
    """Write the SavedModel and its manifest beside the candidate's folder, then rename.

    The failure that an earlier attempt may have left is removed.

    Args:
        volume: the volume.
        weights: of the trained network, in the order of Keras' `get_weights`.
        facts: for the manifest; `run` and `model` say which candidate it is, `class_names` what the model answers.
    """
    run, model = facts["run"], facts["model"]
    candidate = volume.candidate(run, model)
    network = variants.build(model)  # outside the strategy: a plain copy that any program can load
    network.set_weights(weights)
    with folder_beside(candidate) as work:
        saved_model.export(network, facts["class_names"], work)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        manifest.write(work, {**facts, "parameters": network.count_params(), "created": created})
        replace_folder(work, candidate)
    volume.failure(run, model).unlink(missing_ok=True)
    say(f"{model}: candidate written to {candidate}")
