"""The OpenAPI page at /openapi.json: KServe's, corrected to what the front door accepts and answers."""

from typing import Any

from fastapi import FastAPI

from distml.model.image_decoding import SIZE
from distml.protocol import limits
from distml.protocol.contract import FILES, OUTPUTS, PIXELS

PREDICT, INFER = "/v1/models/{model_name}:predict", "/v2/models/{model_name}/infer"
_DESCRIPTIONS = {
    "400": "the request is wrong; the error says what to change",
    "404": "no such model, or another version is served",
    "408": "the body did not arrive in time",
    "413": "the body is too long",
    "503": "not ready, or overloaded: retry after Retry-After seconds",
}


def describe(app: FastAPI, model_name: str) -> None:
    """Make `app` serve this page. Routes can be added until its first request, which generates the page."""
    generated = app.openapi

    def page() -> dict[str, Any]:
        if app.openapi_schema is None:
            _correct(generated(), model_name)
        return app.openapi_schema or {}

    app.openapi = page  # type: ignore[method-assign]


def _correct(page: dict[str, Any], model_name: str) -> None:
    page["info"]["title"] = f"{model_name}: image classification"
    paths = page["paths"]
    # The front door accepts no other POST.
    for path in [path for path in paths if "post" in paths[path] and path not in (PREDICT, INFER)]:
        del paths[path]
    for path, methods in paths.items():
        for operation in methods.values():
            operation["responses"].pop("422", None)
            # KServe describes a version in the query, but the front door drops the query.
            operation["parameters"] = [each for each in operation.get("parameters", []) if each["in"] == "path"]
            for parameter in operation["parameters"]:
                if parameter["name"] == "model_name":
                    parameter["schema"] = {"type": "string", "enum": [model_name]}
            if "{" in path:
                operation["responses"] |= {status: _refusal(status) for status in ("404", "503")}
    paths["/metrics"]["get"]["responses"]["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    for path, body, answer in ((PREDICT, _v1_body(), _v1_answer()), (INFER, _v2_body(), _v2_answer())):
        operation = paths[path]["post"]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
        operation["responses"] = {"200": _json("the answer", answer)} | {key: _refusal(key) for key in _DESCRIPTIONS}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _refusal(status: str) -> dict[str, Any]:
    return _json(_DESCRIPTIONS[status], _object(error={"type": "string"}))


def _object(optional: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required}


def _list(items: dict[str, Any], least: int = 0, most: int | None = None) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": least} | ({} if most is None else {"maxItems": most})


# A PNG file of one grey pixel.
_EXAMPLE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCB2kUIOwAAAABJRU5ErkJggg=="
_STRING = {"type": "string"}
_PIXEL = {"type": "integer", "minimum": 0, "maximum": 255}
_PROBABILITIES = _list({"type": "number"})


def _v1_body() -> dict[str, Any]:
    file = _object(image_bytes=_object(b64={"type": "string", "contentEncoding": "base64", "example": _EXAMPLE}))
    pixels = _list(_list(_PIXEL, SIZE, SIZE), SIZE, SIZE) | {"description": "a pixel may also be a list of one number"}
    return _object(instances=_list({"anyOf": [file, pixels]}, 1, limits.MAX_IMAGES_OF_REQUEST))


def _v1_answer() -> dict[str, Any]:
    prediction = _object(class_name=_STRING, class_index={"type": "integer"}, probabilities=_PROBABILITIES)
    return _object(predictions=_list(prediction), model_name=_STRING, model_version=_STRING)


def _v2_body() -> dict[str, Any]:
    tensor = _object(
        ("parameters", "data"),
        name={"type": "string", "enum": [FILES, PIXELS]},
        datatype={"type": "string", "enum": ["BYTES", "UINT8"]},
        shape=_list({"type": "integer", "minimum": 1}, 1, 4),
        parameters={"type": "object"},
        data={
            "type": "array",
            "items": {},
            "description": f"{FILES}: each file in base64; {PIXELS}: numbers from 0 to 255",
        },
    )
    output = _object(("parameters",), name={"type": "string", "enum": list(OUTPUTS)}, parameters={"type": "object"})
    return _object(
        ("id", "parameters", "outputs"),
        id=_STRING,
        parameters={"type": "object"},
        inputs=_list(tensor, 1, 1),
        outputs=_list(output),
    )


def _v2_answer() -> dict[str, Any]:
    tensor = _object(
        ("data", "parameters"),
        name=_STRING,
        datatype=_STRING,
        shape=_list({"type": "integer"}),
        data={"type": "array", "items": {}},
        parameters={"type": "object"},
    )
    return _object(model_name=_STRING, model_version=_STRING, id=_STRING, outputs=_list(tensor))
