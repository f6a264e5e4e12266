"""The predictor's half of KServe's V1 protocol: reading a request, writing the answer; `client` writes the request."""

from typing import Any

import numpy as np
import orjson

from distml.model.image_decoding import SIZE
from distml.protocol import images, json_body
from distml.protocol.contract import FILES, BadInput, ModelSpec
from distml.protocol.images import PixelBudget


def read_request(body: bytes | bytearray, budget: PixelBudget | None = None) -> np.ndarray:
    """Return the images of a V1 request, uint8 [n, 28, 28, 1].

    Raises:
        BadInput: the request is invalid; the message names what the client must change.
        TooLargeForEventLoop: the image files exceed `budget`.
    """
    budget = budget or PixelBudget()
    document = json_body.read(body)
    instances = document.get("instances") if isinstance(document, dict) else None
    if not isinstance(instances, list):
        raise BadInput('the body must be a JSON object with a list "instances"')
    images.check_count(len(instances))
    return images.stack(instances, lambda instance: _image(instance, budget))


def _image(instance: Any, budget: PixelBudget) -> np.ndarray:
    if isinstance(instance, dict):
        file = instance.get(FILES)
        encoded = file.get("b64") if isinstance(file, dict) else None
        if isinstance(encoded, str):
            return budget.decode(images.file_from_base64(encoded))
    elif isinstance(instance, list):
        return images.image_of_lists(instance)
    raise BadInput(f'an instance must be {{"{FILES}": {{"b64": "..."}}}} or a {SIZE}x{SIZE} list of pixels')


def answer(probabilities: np.ndarray, model: ModelSpec) -> bytes:
    """Return TensorFlow Serving's `predictions`, with the model's name and version added, as JSON."""
    predictions = [
        {"class_name": model.class_names[index], "class_index": index, "probabilities": row}
        for index, row in zip(probabilities.argmax(axis=1).tolist(), probabilities, strict=True)
    ]
    document = {"predictions": predictions, "model_name": model.name, "model_version": str(model.version)}
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
