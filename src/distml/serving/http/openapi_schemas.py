"""The JSON schemas of requests and answers for the OpenAPI page."""

from collections.abc import Sequence
from typing import Any

from distml.model.image_decoding import SIZE
from distml.protocol import limits
from distml.protocol.contract import FILES, PIXELS, Stage
from distml.protocol.v1 import SIGNATURES
from distml.protocol.v2_tensors import NUMBERS, OUTPUT_DATATYPES
from distml.publishing.drift.features import FEATURES

Schema = dict[str, Any]


def an_object(optional: Sequence[str] = (), /, **properties: Schema) -> Schema:
    """Return the schema of an object; all its properties are required except those named in `optional`."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def a_list(items: Schema, least: int = 0, most: int | None = None) -> Schema:
    """Return the schema of a list of `least` to `most` items."""
    return {"type": "array", "items": items, "minItems": least} | ({} if most is None else {"maxItems": most})


# A PNG file of one grey pixel.
_EXAMPLE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCB2kUIOwAAAABJRU5ErkJggg=="
_STRING = {"type": "string"}
_WHOLE = {"type": "integer"}
_PIXEL = {"type": "integer", "minimum": 0, "maximum": 255}
_PROBABILITIES = a_list({"type": "number"})


def v1_body() -> Schema:
    """Return the schema of a V1 request: rows or columns of image files or pixels."""
    base64 = an_object(b64={"type": "string", "contentEncoding": "base64", "example": _EXAMPLE})
    pixels = a_list(a_list(_PIXEL, SIZE, SIZE), SIZE, SIZE) | {"description": "a pixel may also be a list"}
    forms = [an_object(**{FILES: base64}), base64, an_object(**{PIXELS: pixels}), pixels]
    rows = a_list({"anyOf": forms}, 1, limits.MAX_IMAGES_OF_REQUEST)
    columns = [an_object(**{name: a_list(form, 1)}) for name, form in ((FILES, base64), (PIXELS, pixels))]
    signature = {"type": "string", "enum": list(SIGNATURES)}
    with_rows = an_object(("signature_name",), instances=rows, signature_name=signature)
    with_columns = an_object(inputs={"anyOf": [*columns, a_list({"anyOf": [base64, pixels]}, 1)]})
    return {"anyOf": [with_rows, with_columns]}


def v1_answer() -> Schema:
    """Return the schema of a V1 answer: `predictions` for rows, `outputs` for columns."""
    prediction = an_object(class_name=_STRING, class_index=_WHOLE, probabilities=_PROBABILITIES)
    columns = an_object(class_name=a_list(_STRING), class_index=a_list(_WHOLE), probabilities=a_list(_PROBABILITIES))
    answers = ({"predictions": a_list(prediction)}, {"outputs": columns})
    return {"anyOf": [an_object(**each, model_name=_STRING, model_version=_STRING) for each in answers]}


def v1_status() -> Schema:
    """Return the schema of a model's status; that of a single version has only `model_version_status`."""
    status = an_object(error_code=_STRING, error_message=_STRING)
    entry = an_object(version=_STRING, state=_STRING, status=status)
    stage = {"type": "string", "enum": [*Stage]}
    release = an_object(version=_STRING, digest=_STRING, stage=stage, reason=_STRING)
    whole_model: Schema = {"name": _STRING, "ready": {"type": "boolean"}, "releases": a_list(release)}
    return an_object([*whole_model], **whole_model, model_version_status=a_list(entry))


def v1_metadata() -> Schema:
    """Return the schema of a model's signatures, without TensorFlow's own part."""
    spec = an_object(name=_STRING, signature_name=_STRING, version=_STRING)
    return an_object(model_spec=spec, metadata={"type": "object"})


def drift() -> Schema:
    """Return the schema of a look at the newest images."""
    counts = an_object(**dict.fromkeys(FEATURES, a_list(_WHOLE)))
    figures = an_object(distance={"type": "number"}, p_value={"type": "number"})
    return an_object(
        version=_STRING,
        digest=_STRING,
        blocks=_WHOLE,
        images=_WHOLE,
        reference={"anyOf": [counts, {"type": "null"}]},
        window=counts,
        features=an_object(FEATURES, **dict.fromkeys(FEATURES, figures)),
        drifted={"type": "boolean"},
        text=_STRING,
    )


def v2_body() -> Schema:
    """Return the schema of a V2 request in JSON."""
    tensor = an_object(
        ("parameters", "data"),
        name={"type": "string", "minLength": 1, "description": f"{FILES}, {PIXELS} or any other"},
        datatype={"type": "string", "enum": ["BYTES", *NUMBERS]},
        shape=a_list({"type": "integer", "minimum": 1}, 1),
        parameters={"type": "object"},
        data={
            "type": "array",
            "items": {},
            "description": "BYTES: image files, each in base64; otherwise pixels, whole numbers from 0 to 255",
        },
    )
    output = an_object(
        ("parameters",), name={"type": "string", "enum": list(OUTPUT_DATATYPES)}, parameters={"type": "object"}
    )
    return an_object(
        ("id", "parameters", "outputs"),
        id=_STRING,
        parameters={"type": "object"},
        inputs=a_list(tensor, 1, 1),
        outputs=a_list(output),
    )


def v2_answer() -> Schema:
    """Return the schema of a V2 answer in JSON."""
    tensor = an_object(
        ("data", "parameters"),
        name=_STRING,
        datatype=_STRING,
        shape=a_list(_WHOLE),
        data={"type": "array", "items": {}},
        parameters={"type": "object"},
    )
    return an_object(model_name=_STRING, model_version=_STRING, id=_STRING, outputs=a_list(tensor))
