"""The status and the metadata of the served version, in the shapes of TensorFlow Serving's REST API."""

from typing import Any

from distml.model.image_decoding import SIZE
from distml.protocol.contract import FILES, PIXELS, ModelSpec
from distml.protocol.v1 import SIGNATURES

_INPUTS = {FILES: ("DT_STRING", [-1]), PIXELS: ("DT_UINT8", [-1, SIZE, SIZE, 1])}


def status(model: ModelSpec) -> dict[str, Any]:
    """Return the status of the served version, the only one, as GetModelStatusResponse in JSON."""
    entry = {
        "version": str(model.version),
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    return {"model_version_status": [entry]}


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
