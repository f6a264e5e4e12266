"""KServe's V2 protocol over REST: requests and answers in JSON, which binary tensor data may follow."""

import uuid
from itertools import chain
from typing import Any

import numpy as np
import orjson

from distml.protocol import images, json_body, v2_tensors
from distml.protocol.contract import FILES, OUTPUTS, PIXELS, BadInput, ModelSpec, counted, shortened
from distml.protocol.images import PixelBudget
from distml.protocol.pixels import pixels_of_numbers
from distml.protocol.v2_tensors import V2Request

_V1_RULE = "this is a request of the V1 protocol; send it to /v1/models/<model>:predict"


def read_request(body: bytes | bytearray, json_length: int | None, budget: PixelBudget | None = None) -> V2Request:
    """Read a V2 request.

    Args:
        body: JSON, which binary tensor data may follow.
        json_length: the number of bytes of JSON, from `Inference-Header-Content-Length`; None if all is JSON.
        budget: the pixels that the image files may have.

    Raises:
        BadInput: the request is invalid; the message names what the client must change.
        TooLargeForEventLoop: the image files exceed `budget`.
    """
    if json_length is not None and not 0 <= json_length <= len(body):
        raise BadInput("Inference-Header-Content-Length must be the length of the JSON part of the body")
    document = json_body.read(body if json_length is None else body[:json_length])
    binary = None if json_length is None else memoryview(body)[json_length:]
    if not isinstance(document, dict):
        raise BadInput(f"the body must be a JSON object; {v2_tensors.EXPECTED}")
    request_id = document.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise BadInput('"id" must be a string')
    outputs = _outputs(document.get("outputs"), _parameters(document).get("binary_data_output") is True)
    try:
        pixels = _images(document.get("inputs"), binary, budget or PixelBudget())
    except BadInput:
        if _is_v1(document):
            raise BadInput(_V1_RULE) from None
        raise
    return V2Request(pixels, outputs, request_id or "")


def _is_v1(document: dict) -> bool:
    """Tell whether the document has V1's rows ("instances") or columns ("inputs")."""
    inputs = document.get("inputs")
    if inputs is None:
        return "instances" in document
    first = next(iter(inputs), None) if isinstance(inputs, list) else inputs
    if isinstance(first, dict):
        return not first.keys().isdisjoint(("b64", FILES, PIXELS))
    return isinstance(inputs, list) and isinstance(first, str | list)


def _images(inputs: Any, binary: memoryview | None, budget: PixelBudget) -> np.ndarray:
    if not isinstance(inputs, list):
        raise BadInput(f'"inputs" must be a list; {v2_tensors.EXPECTED}')
    v2_tensors.check_single(inputs)
    (tensor,) = inputs
    if not isinstance(tensor, dict):
        raise BadInput('the input must be an object with "name", "datatype", "shape" and "data"')
    parameters, data = _parameters(tensor), tensor.get("data")
    described = v2_tensors.describe(tensor.get("name"), tensor.get("datatype"), tensor.get("shape"), parameters)
    size = parameters.get("binary_data_size")
    if size is not None:
        return v2_tensors.images_of_binary(described, _binary(binary, size, data), budget)
    if binary:
        raise BadInput(f'{_bytes_after_json(binary)}, but the input has no "binary_data_size"')
    if not isinstance(data, list):
        raise BadInput('the input needs "data", a list, or "binary_data_size" and binary data')
    values = _flattened(data, tensor["shape"])
    if described.has_files:
        return v2_tensors.images_of_files(
            values, described.image_count, lambda text: budget.decode(images.file_from_base64(text))
        )
    v2_tensors.check_pixels(values, described.image_count)
    return v2_tensors.images_of_pixels(pixels_of_numbers(values, described.has_floats))


def _binary(binary: memoryview | None, size: Any, data: Any) -> memoryview:
    """Return the binary data of the only input, after checking what the request says about it."""
    if data is not None:
        raise BadInput('the input has both "data" and "binary_data_size"; send only one of them')
    if binary is None:
        raise BadInput('"binary_data_size" needs the header Inference-Header-Content-Length, the length of the JSON')
    if type(size) is not int or size != len(binary):
        text = size if type(size) is int else "not a whole number"
        raise BadInput(f'"binary_data_size" is {text}, but {_bytes_after_json(binary)}')
    return binary


def _bytes_after_json(binary: memoryview) -> str:
    return f"{counted(len(binary), 'byte')} follow{'s' if len(binary) == 1 else ''} the JSON"


def _flattened(data: list, shape: list[int]) -> list:
    """Flatten V2's data, which may be lists nested by the tensor's shape; axes of length 1 may differ."""
    nesting = [len(data)]
    while data and isinstance(data[0], list):
        nesting.append(len(data[0]))
        if not all(isinstance(inner, list) and len(inner) == nesting[-1] for inner in data):
            raise BadInput('"data" must be a flat list, or lists nested by the shape')
        data = list(chain.from_iterable(data))
    found = images.without_ones(nesting)
    if len(found) > 1 and found != images.without_ones(shape):
        raise BadInput(
            f'"data" is nested as {shortened(nesting)}, but the shape is {shortened(shape)};'
            " send a flat list, or nest it by the shape"
        )
    return data


def _outputs(requested: Any, binary: bool) -> dict[str, bool]:
    if requested is None or requested == []:
        return dict.fromkeys(OUTPUTS, binary)
    if not isinstance(requested, list) or not all(isinstance(output, dict) for output in requested):
        raise BadInput('"outputs" must be a list of objects')
    outputs: dict[str, bool] = {}
    for output in requested:
        name, parameters = output.get("name"), _parameters(output)
        v2_tensors.check_output(name, parameters, outputs)
        outputs[name] = parameters.get("binary_data", binary) is True
    return outputs


def _parameters(document: dict) -> dict:
    parameters = document.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise BadInput('"parameters" must be an object')
    return parameters


def answer(request: V2Request, probabilities: np.ndarray, model: ModelSpec) -> tuple[bytes, int | None]:
    """Return an answer with the outputs that `request` asks for.

    Returns:
        The body, and the length of its JSON part; None if no binary data follows.
    """
    descriptions, binary = [], []
    tensors = v2_tensors.output_tensors(request, probabilities, model.class_names)
    for name, as_binary in request.outputs.items():
        datatype, content = v2_tensors.OUTPUT_DATATYPES[name], tensors[name]
        output: dict[str, Any] = {"name": name, "shape": list(content.shape), "datatype": datatype}
        if as_binary:
            binary.append(v2_tensors.binary_of(content))
            output["parameters"] = {"binary_data_size": len(binary[-1])}
        elif datatype == "BYTES":
            output["data"] = [one.decode() for one in content]
        else:
            output["data"] = content.reshape(-1)
        descriptions.append(output)
    request_id = request.id or str(uuid.uuid4())
    facts = {"model_name": model.name, "model_version": str(model.version), "id": request_id}
    head = orjson.dumps({**facts, "outputs": descriptions}, option=orjson.OPT_SERIALIZE_NUMPY)
    return b"".join([head, *binary]), len(head) if binary else None
