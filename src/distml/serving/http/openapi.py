"""The OpenAPI page at /openapi.json: KServe's, corrected to what the front door accepts and answers."""

from copy import deepcopy
from typing import Any

from fastapi import FastAPI

from distml.serving.http import openapi_schemas
from distml.serving.http.openapi_schemas import Schema, an_object

MODEL = "/v1/models/{model_name}"
MODEL_OF_V2 = "/v2/models/{model_name}"
PREDICT, INFER = f"{MODEL}:predict", f"{MODEL_OF_V2}/infer"
_VERSION, _LABEL = "/versions/{version}", "/labels/{label}"
_DESCRIPTIONS = {
    "400": "the request is wrong; the error says what to change",
    "404": "no such model, or another version is served",
    "408": "the body did not arrive in time",
    "413": "the body is too long",
    "415": "the Content-Encoding is not supported",
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
    added = {"metadata": ("Model Metadata", "model_metadata_of_v1"), "drift": ("Model Drift", "model_drift")}
    for rest, (summary, identifier) in added.items():
        paths[f"{MODEL}/{rest}"] = deepcopy(paths[MODEL])
        paths[f"{MODEL}/{rest}"]["get"] |= {"summary": summary, "operationId": identifier}
    for path, methods in paths.items():
        for operation in methods.values():
            _correct_operation(path, operation, model_name)
    paths["/metrics"]["get"]["responses"]["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    answers = {
        "": openapi_schemas.v1_status(),
        "/metadata": openapi_schemas.v1_metadata(),
        "/drift": openapi_schemas.drift(),
    }
    for rest, answer in answers.items():
        paths[f"{MODEL}{rest}"]["get"]["responses"]["200"] = _json("the answer", answer)
    bodies = {
        PREDICT: (openapi_schemas.v1_body(), openapi_schemas.v1_answer()),
        INFER: (openapi_schemas.v2_body(), openapi_schemas.v2_answer()),
    }
    for path, (body, answer) in bodies.items():
        operation = paths[path]["post"]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
        operation["responses"] = {"200": _json("the answer", answer)} | {key: _refusal(key) for key in _DESCRIPTIONS}
    for rest in ("", ":predict", "/metadata", "/drift"):
        for place in (_VERSION, _LABEL):
            paths[f"{MODEL}{place}{rest}"] = _of_version(paths[f"{MODEL}{rest}"], place)
    for rest in ("", "/infer"):
        paths[f"{MODEL_OF_V2}{_VERSION}{rest}"] = _of_version(paths[f"{MODEL_OF_V2}{rest}"], _VERSION)


def _correct_operation(path: str, operation: dict[str, Any], model_name: str) -> None:
    operation["responses"].pop("422", None)
    # KServe describes a version in the query, but the front door drops the query.
    operation["parameters"] = [each for each in operation.get("parameters", []) if each["in"] == "path"]
    for parameter in operation["parameters"]:
        if parameter["name"] == "model_name":
            parameter["schema"] = {"type": "string", "enum": [model_name]}
    if "{" in path:
        operation["responses"] |= {status: _refusal(status) for status in ("404", "503")}


def _of_version(methods: dict[str, Any], place: str) -> dict[str, Any]:
    """Return the operations of a path that names a version or label at `place`."""
    methods = deepcopy(methods)
    name = place[place.index("{") + 1 : -1]
    for operation in methods.values():
        operation["operationId"] += f"_of_{name}"
        operation["parameters"].append({"name": name, "in": "path", "required": True, "schema": {"type": "string"}})
    return methods


def _json(description: str, schema: Schema) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _refusal(status: str) -> dict[str, Any]:
    return _json(_DESCRIPTIONS[status], an_object(error={"type": "string"}))
