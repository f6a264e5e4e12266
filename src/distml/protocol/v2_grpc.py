"""KServe's V2 protocol over gRPC: reading a request message, building the answer."""

import uuid

import numpy as np
from kserve.protocol.grpc.grpc_predict_v2_pb2 import InferTensorContents, ModelInferRequest, ModelInferResponse

from distml.protocol import v2_tensors
from distml.protocol.contract import OUTPUTS, BadInput, ModelSpec
from distml.protocol.images import PixelBudget
from distml.protocol.pixels import pixels_of_array, pixels_of_numbers
from distml.protocol.v2_tensors import Input, V2Request

# The field of `contents` for each datatype. FP16 has none.
_FIELDS = {
    **dict.fromkeys(["UINT8", "UINT16", "UINT32"], "uint_contents"),
    **dict.fromkeys(["INT8", "INT16", "INT32"], "int_contents"),
    **{"UINT64": "uint64_contents", "INT64": "int64_contents", "BYTES": "bytes_contents"},
    **{"FP32": "fp32_contents", "FP64": "fp64_contents"},
}


def read_request(message: ModelInferRequest, budget: PixelBudget | None = None) -> V2Request:
    """Read a V2 request; its answer is binary if its input is.

    Raises:
        BadInput: the request is invalid; the message names what the client must change.
        TooLargeForEventLoop: the image files exceed `budget`.
    """
    binary = message.raw_input_contents
    outputs: dict[str, bool] = {}
    for output in message.outputs:
        v2_tensors.check_output(output.name, output.parameters, outputs)
        outputs[output.name] = bool(binary)
    v2_tensors.check_single(message.inputs)
    (tensor,) = message.inputs
    described = v2_tensors.describe(tensor.name, tensor.datatype, list(tensor.shape), tensor.parameters)
    if not binary:
        images = _images_of_contents(described, tensor.contents, budget or PixelBudget())
    elif tensor.contents.ListFields():
        raise BadInput("the input has both contents and raw_input_contents; send only one of them")
    elif len(binary) > 1:
        raise BadInput(f"raw_input_contents has {len(binary)} elements, but the request has one input")
    else:
        images = v2_tensors.images_of_binary(described, memoryview(binary[0]), budget or PixelBudget())
    return V2Request(images, outputs or dict.fromkeys(OUTPUTS, bool(binary)), message.id)


def _images_of_contents(described: Input, contents: InferTensorContents, budget: PixelBudget) -> np.ndarray:
    field = _FIELDS.get(described.datatype, "")
    if [each.name for each, _ in contents.ListFields()] != [field]:
        place = f"contents.{field} or raw_input_contents" if field else "raw_input_contents"
        raise BadInput(f"the data of an input of {described.datatype} must be in {place}, and only there")
    values = getattr(contents, field)
    if described.has_files:
        return v2_tensors.images_of_files(values, described.image_count, budget.decode)
    v2_tensors.check_pixels(values, described.image_count)
    if described.datatype == "FP32":
        return v2_tensors.images_of_pixels(pixels_of_array(np.array(values, np.float32)))
    return v2_tensors.images_of_pixels(pixels_of_numbers(list(values)))


def length_of(message: ModelInferRequest) -> int:
    """Return the approximate length of a request in memory, in bytes: a typed number takes more than in the message."""
    fields = [values for tensor in message.inputs for _, values in tensor.contents.ListFields()]
    return message.ByteSize() + sum(8 * len(values) for values in fields if not isinstance(values[0], bytes))


def answer(request: V2Request, probabilities: np.ndarray, model: ModelSpec) -> ModelInferResponse:
    """Return an answer with the outputs that `request` asks for."""
    message = ModelInferResponse(
        model_name=model.name, model_version=str(model.version), id=request.id or str(uuid.uuid4())
    )
    tensors = v2_tensors.output_tensors(request, probabilities, model.class_names)
    for name, as_binary in request.outputs.items():
        datatype, content = v2_tensors.OUTPUT_DATATYPES[name], tensors[name]
        output = message.outputs.add(name=name, datatype=datatype, shape=content.shape)
        if as_binary:
            message.raw_output_contents.append(v2_tensors.binary_of(content))
        else:
            getattr(output.contents, _FIELDS[datatype]).extend(content.reshape(-1).tolist())
    return message
