"""From probabilities to an answer in the shape of KServe's V1 or V2 protocol."""

from typing import Any

import numpy as np
import orjson
from kserve import InferOutput, InferResponse

from distml.protocol.contract import OUTPUTS
from distml.serving.release.served_version import ServedVersion


def v1(model: str, version: ServedVersion, probabilities: np.ndarray) -> bytes:
    """TensorFlow Serving's `predictions`, with the model and its version beside it."""
    predictions = [
        {"class_name": version.class_names[index], "class_index": index, "probabilities": row}
        for index, row in zip(probabilities.argmax(axis=1).tolist(), probabilities, strict=True)
    ]
    answer = {"predictions": predictions, "model_name": model, "model_version": str(version.number)}
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def _tensors(version: ServedVersion, probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """The content of each of OUTPUTS."""
    index = probabilities.argmax(axis=1)
    names = np.array([version.class_names[one].encode() for one in index.tolist()], dtype=object)
    return dict(zip(OUTPUTS, (probabilities, index, names), strict=True))


def v2(
    model: str, version: ServedVersion, probabilities: np.ndarray, outputs: dict[str, bool], request_id: str
) -> tuple[bytes, int | None]:
    """A V2 answer with `outputs`, each as binary data or not.

    Returns:
        The body, and the length of its JSON part where binary data follows.
    """
    described, binary = [], []
    tensors = _tensors(version, probabilities)
    for name, as_binary in outputs.items():
        datatype, content = OUTPUTS[name], tensors[name]
        output: dict[str, Any] = {"name": name, "shape": list(content.shape), "datatype": datatype}
        if as_binary:
            binary.append(_binary(content))
            output["parameters"] = {"binary_data_size": len(binary[-1])}
        elif datatype == "BYTES":
            output["data"] = [one.decode() for one in content]
        else:
            output["data"] = content.reshape(-1)
        described.append(output)
    answer = {"model_name": model, "model_version": str(version.number), "id": request_id, "outputs": described}
    head = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    return b"".join([head, *binary]), len(head) if binary else None


def _binary(content: np.ndarray) -> bytes:
    """V2's binary tensor data: least significant byte first; before each of BYTES its length."""
    if content.dtype != object:
        return content.astype(content.dtype.newbyteorder("<"), copy=False).tobytes()
    return b"".join(len(one).to_bytes(4, "little") + one for one in content)


def grpc(
    model: str, version: ServedVersion, probabilities: np.ndarray, outputs: dict[str, bool], request_id: str
) -> InferResponse:
    tensors = _tensors(version, probabilities)
    answers = []
    for name, as_binary in outputs.items():
        content = tensors[name]
        answers.append(InferOutput(name, list(content.shape), OUTPUTS[name]))
        if as_binary:
            answers[-1].set_data_from_numpy(content)
        else:
            answers[-1].data = content.reshape(-1).tolist()
    return InferResponse(request_id, model, answers, model_version=str(version.number))
