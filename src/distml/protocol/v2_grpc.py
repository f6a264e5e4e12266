"""KServe's V2 protocol over gRPC: reading a request that KServe has parsed, building the answer."""

from typing import Any

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse

from distml.protocol import v2_tensors
from distml.protocol.contract import FILES, OUTPUTS, BadInput, ModelSpec
from distml.protocol.images import PixelBudget
from distml.protocol.pixels import pixels_of_numbers


def read_images(request: InferRequest, budget: PixelBudget | None = None) -> np.ndarray:
    """Return the images of a request, uint8 [n, 28, 28, 1].

    Raises:
        BadInput: the request is invalid; the message names what the client must change.
        TooLargeForEventLoop: the image files exceed `budget`.
    """
    if len(request.inputs) != 1:
        raise BadInput(v2_tensors.INPUT_RULE)
    tensor = request.inputs[0]
    count = v2_tensors.count_of_images(tensor.name, tensor.datatype, tensor.shape)
    binary = _binary(tensor)
    if tensor.name == FILES:
        files = tensor.data if binary is None else v2_tensors.split_binary_files(memoryview(binary), count)
        return v2_tensors.images_of_files(files, count, (budget or PixelBudget()).decode)
    return v2_tensors.images_of_pixels(pixels_of_numbers(tensor.data) if binary is None else binary, count)


def outputs_of(request: InferRequest) -> dict[str, bool]:
    """Map the requested outputs, all by default, to True (send binary data) if the inputs are binary, else to False."""
    requested = [output.name for output in request.request_outputs or []]
    for name in requested:
        v2_tensors.check_output(name)
    return dict.fromkeys(requested or OUTPUTS, request.use_binary_outputs)


def length_of(request: InferRequest) -> int:
    """Return the approximate length of a request's inputs in bytes."""
    return sum(len(_binary(tensor) or b"") + _length(tensor.data or []) for tensor in request.inputs)


def _length(data: list) -> int:
    return sum(map(len, data)) if data and isinstance(data[0], bytes) else 8 * len(data)


def _binary(tensor: Any) -> bytes | None:
    """Return a tensor's binary content; KServe's public `as_numpy` would decode all of it before any check."""
    return tensor._raw_data


def answer(probabilities: np.ndarray, model: ModelSpec, outputs: dict[str, bool], request_id: str) -> InferResponse:
    """Return an answer with `outputs`, each as binary data if its value is True."""
    tensors = v2_tensors.output_tensors(probabilities, model.class_names)
    answers = []
    for name, as_binary in outputs.items():
        content = tensors[name]
        answers.append(InferOutput(name, list(content.shape), OUTPUTS[name]))
        if as_binary:
            answers[-1].set_data_from_numpy(content)
        else:
            answers[-1].data = content.reshape(-1).tolist()
    return InferResponse(request_id, model.name, answers, model_version=str(model.version))
