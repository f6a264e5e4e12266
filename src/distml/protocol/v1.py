"""The predictor's half of the V1 protocol, which is TensorFlow Serving's REST API; `client` writes requests."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from distml.protocol import images, json_body
from distml.protocol.contract import FILES, PIXELS, BadInput, ModelSpec, shortened
from distml.protocol.images import PixelBudget

# The signatures of a published SavedModel, each with its input.
SIGNATURES = {"serving_default": FILES, "serving_arrays": PIXELS}
# The sentences for the methods of TensorFlow Serving that this model does not have.
NOT_OFFERED = {
    "classify": "classify takes tf.Example records, but this model takes images; send them to :predict",
    "regress": "regress takes tf.Example records and gives one number for each, but this model classifies images;"
    " send them to :predict",
}
_BODY_RULE = (
    'the body must be a JSON object with either "instances", a list of images, or "inputs",'
    f' such a list or {{"{FILES}": <list>}} or {{"{PIXELS}": <list>}}'
)
_IMAGE_RULE = (
    'an image must be a file in base64, {"b64": "..."}, or 28 lists of 28 pixels;'
    f' either may be named, as {{"{FILES}": {{"b64": "..."}}}} or {{"{PIXELS}": <lists>}}'
)
_V2_RULE = "this is a request of the V2 protocol; send it to /v2/models/<model>/infer"
_CONTENT = {FILES: "image files in base64", PIXELS: "lists of pixels"}


@dataclass(frozen=True)
class V1Request:
    """The content of a V1 request.

    Attributes:
        images: uint8 [n, 28, 28, 1].
        columnar: the request has columns ("inputs"), so the answer has columns ("outputs").
    """

    images: np.ndarray
    columnar: bool


def read_request(body: bytes | bytearray, budget: PixelBudget | None = None) -> V1Request:
    """Read a V1 request, which has rows ("instances") or columns ("inputs").

    Raises:
        BadInput: the request is invalid; the message names what the client must change.
        TooLargeForEventLoop: the image files exceed `budget`.
    """
    budget = budget or PixelBudget()
    document = json_body.read(body)
    if not isinstance(document, dict):
        raise BadInput(_BODY_RULE)
    rows, columns = document.get("instances"), document.get("inputs")
    if rows is not None and columns is not None:
        raise BadInput('"instances" (rows) and "inputs" (columns) exclude each other; send one of them')
    key, column, items = ("instances", None, rows) if columns is None else _column(columns)
    if items is None:
        raise BadInput(_BODY_RULE)
    if not isinstance(items, list):
        raise BadInput(f'"{key}" must be a list of images, even of one')
    images.check_list_of_images(items)
    images.check_count(len(items))
    expected = _input_of_signature(document.get("signature_name"))
    if column is not None:
        _check_input(expected, column)
        expected = column
    return V1Request(images.stack(items, lambda item: _image(item, expected, budget)), columns is not None)


def _column(columns: Any) -> tuple[str, str | None, Any]:
    """Return the key that holds the list of images, the name of their input or None, and the list."""
    if isinstance(columns, list) and columns and isinstance(columns[0], dict) and "datatype" in columns[0]:
        raise BadInput(_V2_RULE)
    if not isinstance(columns, dict) or "b64" in columns:
        return "inputs", None, columns
    name = _only_name(columns, f'"inputs" must name either "{FILES}" or "{PIXELS}", the inputs of this model')
    return name, name, columns[name]


def _only_name(document: dict, rule: str) -> str:
    names = [name for name in (FILES, PIXELS) if name in document]
    if len(names) != 1:
        raise BadInput(rule)
    return names[0]


def _input_of_signature(signature: Any) -> str | None:
    """Return the input of the signature; None if the request names no signature, which allows both."""
    if signature is None or signature == "":
        return None
    if not isinstance(signature, str) or signature not in SIGNATURES:
        signatures = " and ".join(f'"{name}" (for "{input_name}")' for name, input_name in SIGNATURES.items())
        raise BadInput(f'"signature_name" is unknown; this model has the signatures {signatures}')
    return SIGNATURES[signature]


def _image(item: Any, expected: str | None, budget: PixelBudget) -> np.ndarray:
    """Convert a row, or an element of a column, to an image; `expected` is its input if the request determines it."""
    if isinstance(item, dict) and "b64" not in item:
        name = _only_name(item, _rule_for(item))
        _check_input(expected, name)
        expected, item = name, item[name]
    file = _file(item) if isinstance(item, dict) else item
    if isinstance(file, str):
        _check_input(expected, FILES)
        return budget.decode(images.file_from_base64(file))
    if isinstance(item, list):
        _check_input(expected, PIXELS)
        return images.image_of_lists(item)
    raise BadInput(_rule_for(item))


def _rule_for(item: Any) -> str:
    """Return the rule for an image, after the names in `item` if the protocol has none of them."""
    if not isinstance(item, dict) or not item or not item.keys().isdisjoint(("b64", FILES, PIXELS)):
        return _IMAGE_RULE
    return f"{shortened(', '.join(item))} is unknown; {_IMAGE_RULE}"


def _file(item: dict) -> Any:
    """Return the file of an object with "b64", in which another image would be lost."""
    for name in (FILES, PIXELS):
        if name in item:
            raise BadInput(f'the image has both "b64" and "{name}"; send only one of them')
    return item.get("b64")


def _check_input(expected: str | None, found: str) -> None:
    """Raise BadInput if an image does not belong to the input that the request determines."""
    if expected is None or expected == found:
        return
    signature_of = {name: signature for signature, name in SIGNATURES.items()}
    raise BadInput(
        f'"{expected}", the input of {signature_of[expected]}, takes {_CONTENT[expected]}, not {_CONTENT[found]};'
        f' name them "{found}", the input of {signature_of[found]}'
    )


def answer(request: V1Request, probabilities: np.ndarray, model: ModelSpec) -> bytes:
    """Return TensorFlow Serving's `predictions` or `outputs`, with the model's name and version added, as JSON."""
    indices = probabilities.argmax(axis=1).tolist()
    names = [model.class_names[index] for index in indices]
    document: dict[str, Any]
    if request.columnar:
        document = {"outputs": {"class_name": names, "class_index": indices, "probabilities": probabilities}}
    else:
        rows = zip(names, indices, probabilities, strict=True)
        document = {
            "predictions": [
                {"class_name": name, "class_index": index, "probabilities": row} for name, index, row in rows
            ]
        }
    document |= {"model_name": model.name, "model_version": str(model.version)}
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
