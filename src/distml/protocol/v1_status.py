"""The states of the versions and the metadata of the served one, in the shapes of TensorFlow Serving's REST API."""

from collections.abc import Iterable
from typing import Any

from distml.model.image_decoding import SIZE
from distml.protocol.contract import FILES, PIXELS, ModelSpec, Release, Stage
from distml.protocol.v1 import SIGNATURES

_INPUTS = {FILES: ("DT_STRING", [-1]), PIXELS: ("DT_UINT8", [-1, SIZE, SIZE, 1])}
# TensorFlow Serving's states for versions that do not answer.
_STATES = {Stage.CHECKING: "LOADING", Stage.SHADOW: "LOADING", Stage.REJECTED: "END"}


def status(model: ModelSpec, releases: Iterable[Release] = ()) -> dict[str, Any]:
    """Return the state of the version that answers, and of those on trial or rejected, as GetModelStatusResponse.

    Args:
        model: the model that answers.
        releases: the stages of the versions that the predictor met, the newest first.
    """
    entries = {model.version: _state(model.version, "AVAILABLE", "OK", "")}
    for release in releases:
        if release.version not in entries and release.stage in _STATES:
            code = "FAILED_PRECONDITION" if release.stage is Stage.REJECTED else "OK"
            entries[release.version] = _state(release.version, _STATES[release.stage], code, release.reason)
    return {"model_version_status": [*entries.values()]}


def status_of(version: str, model: ModelSpec, releases: Iterable[Release]) -> dict[str, Any] | None:
    """Return what `status` returns, but only the state of one version; None if it has none."""
    states = [state for state in status(model, releases)["model_version_status"] if state["version"] == version]
    return {"model_version_status": states} if states else None


def stages(releases: Iterable[Release]) -> list[dict[str, str]]:
    """Return the stages of the versions that the predictor met, for JSON; TensorFlow Serving has nothing like it."""
    return [{**release._asdict(), "version": str(release.version)} for release in releases]


def _state(version: int, state: str, code: str, message: str) -> dict[str, Any]:
    return {"version": str(version), "state": state, "status": {"error_code": code, "error_message": message}}


def metadata(model: ModelSpec) -> dict[str, Any]:
    """Return the signatures of the served version's SavedModel as GetModelMetadataResponse in JSON.

    TensorFlow numbers the output tensors by the order of the signatures' and of the outputs' names.
    """
    signatures = {
        name: _signature(name, f"StatefulPartitionedCall{suffix}", len(model.class_names))
        for name, suffix in zip(sorted(SIGNATURES), ("", "_1"), strict=True)
    }
    return {
        "model_spec": {"name": model.name, "signature_name": "", "version": str(model.version)},
        "metadata": {"signature_def": {"signature_def": signatures}},
    }


def _signature(name: str, operation: str, classes: int) -> dict[str, Any]:
    input_name = SIGNATURES[name]
    return {
        "inputs": {input_name: _tensor(f"{name}_{input_name}:0", *_INPUTS[input_name])},
        "outputs": {
            "class_index": _tensor(f"{operation}:0", "DT_INT64", [-1]),
            "class_name": _tensor(f"{operation}:1", "DT_STRING", [-1]),
            "probabilities": _tensor(f"{operation}:2", "DT_FLOAT", [-1, classes]),
        },
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }


def _tensor(name: str, dtype: str, shape: list[int]) -> dict[str, Any]:
    dimensions = [{"size": str(length), "name": ""} for length in shape]
    return {"dtype": dtype, "tensor_shape": {"dim": dimensions, "unknown_rank": False}, "name": name}
