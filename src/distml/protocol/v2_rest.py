"""KServe's V2 protocol over REST: requests and answers in JSON, which binary tensor data may follow."""

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import orjson

from distml.protocol import images, json_body, v2_tensors
from distml.protocol.contract import FILES, OUTPUTS, BadInput, ModelSpec
from distml.protocol.images import PixelBudget
from distml.protocol.pixels import pixels_of_numbers


@dataclass(frozen=True)
class V2Request:
    """The content of a V2 request.

    Attributes:
        images: uint8 [n, 28, 28, 1].
        outputs: the names of the outputs to answer with; True asks for binary data.
        id: the client's name for the request, which the answer repeats.
    """

    images: np.ndarray
    outputs: dict[str, bool]
    id: str | None = None


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
    binary = memoryview(b"" if json_length is None else body)[json_length or 0 :]
    if not isinstance(document, dict):
        raise BadInput(f"the body must be a JSON object; {v2_tensors.INPUT_RULE}")
    request_id = document.get("id")
    if request_id is not None and not isinstance(request_id, str):
        raise BadInput('"id" must be a string')
    outputs = _outputs(document.get("outputs"), _parameters(document).get("binary_data_output") is True)
    return V2Request(_images(document, binary, budget or PixelBudget()), outputs, request_id)


def _images(document: dict, binary: memoryview, budget: PixelBudget) -> np.ndarray:
    inputs = document.get("inputs")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise BadInput(v2_tensors.INPUT_RULE)
    tensor = inputs[0]
    count = v2_tensors.count_of_images(tensor.get("name"), tensor.get("datatype"), tensor.get("shape"))
    size, data = _parameters(tensor).get("binary_data_size"), tensor.get("data")
    if size is not None:
        if data is not None or type(size) is not int or size != len(binary):
            raise BadInput('"binary_data_size" must be the length of the data after the JSON; "data" must be absent')
        if tensor["name"] == FILES:
            files = v2_tensors.split_binary_files(binary, count)
            return v2_tensors.images_of_files(files, count, budget.decode)
        return v2_tensors.images_of_pixels(bytes(binary), count)
    if not isinstance(data, list) or len(binary):
        raise BadInput('the input needs either "data", a list, or "binary_data_size" and binary data')
    data = _flattened(data)
    if tensor["name"] == FILES:
        return v2_tensors.images_of_files(data, count, lambda text: budget.decode(images.file_from_base64(text)))
    return v2_tensors.images_of_pixels(pixels_of_numbers(data), count)


def _flattened(data: list) -> list:
    """Flatten V2's data, which may be lists nested by the tensor's shape."""
    while data and isinstance(data[0], list):
        if not all(isinstance(inner, list) for inner in data):
            raise BadInput('"data" must be a flat list, or lists nested by the shape')
        data = list(chain.from_iterable(data))
    return data


def _outputs(requested: Any, binary: bool) -> dict[str, bool]:
    if requested is None or requested == []:
        return dict.fromkeys(OUTPUTS, binary)
    if not isinstance(requested, list) or not all(isinstance(output, dict) for output in requested):
        raise BadInput('"outputs" must be a list of objects')
    for output in requested:
        v2_tensors.check_output(output.get("name"))
    return {output["name"]: _parameters(output).get("binary_data", binary) is True for output in requested}


def _parameters(document: dict) -> dict:
    parameters = document.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise BadInput('"parameters" must be an object')
    return parameters


def answer(
    probabilities: np.ndarray, model: ModelSpec, outputs: dict[str, bool], request_id: str
) -> tuple[bytes, int | None]:
    """Return an answer with `outputs`, each as binary data if its value is True.

    Returns:
        The body, and the length of its JSON part; None if no binary data follows.
    """
    descriptions, binary = [], []
    tensors = v2_tensors.output_tensors(probabilities, model.class_names)
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
        descriptions.append(output)
    facts = {"model_name": model.name, "model_version": str(model.version), "id": request_id}
    head = orjson.dumps({**facts, "outputs": descriptions}, option=orjson.OPT_SERIALIZE_NUMPY)
    return b"".join([head, *binary]), len(head) if binary else None


def _binary(content: np.ndarray) -> bytes:
    """Return V2's binary tensor data: little-endian numbers, or elements of BYTES, each after its length."""
    if content.dtype != object:
        return content.astype(content.dtype.newbyteorder("<"), copy=False).tobytes()
    return b"".join(len(one).to_bytes(4, "little") + one for one in content)
