"""HTTP answers of the predictor, a real process on loopback, compared with the SavedModel's."""

import base64
import json
import struct
from typing import Any

import numpy as np
import pytest
from kserve import InferInput, InferRequest, InferResponse

from distml.data import input_pipeline
from distml.model.image_decoding import png
from distml.step.volume import Volume
from support.images import KINDS, image_file
from support.predictor_process import INFER, PREDICT, Predictor
from support.predictor_requests import IMAGES, Ask, file_instance, probabilities_of, v2_input
from support.project import ROOT


def test_a_v1_answer_has_class_index_probabilities_and_version(server: Predictor, saved: Ask) -> None:
    status, answer = server.post(PREDICT, {"instances": [file_instance(png(IMAGES[0]))]})
    (expected,) = saved(IMAGES[:1])
    assert status == 200
    assert {key: answer[key] for key in ("model_name", "model_version")} == {
        "model_name": "flower-sample",
        "model_version": "1",
    }
    (prediction,) = answer["predictions"]
    assert prediction.keys() == {"class_name", "class_index", "probabilities"}
    assert prediction["class_index"] == expected.argmax()
    np.testing.assert_allclose(prediction["probabilities"], expected, atol=1e-3)


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded", "text/html", ""])
def test_v1_accepts_files_with_arrays_under_any_content_type(server: Predictor, saved: Ask, content_type: str) -> None:
    instances = [file_instance(png(IMAGES[0])), IMAGES[1].tolist(), IMAGES[2, ..., 0].tolist()]
    status, answer = server.post(PREDICT, {"instances": instances}, content_type=content_type)
    assert status == 200
    np.testing.assert_allclose(probabilities_of(answer), saved(IMAGES), atol=1e-3)


TEXT = [base64.b64encode(png(image)).decode() for image in IMAGES]
PIXELS = IMAGES[..., 0].tolist()
V1_FORMS: dict[str, dict[str, Any]] = {
    "rows of files without a name": {"instances": [{"b64": text} for text in TEXT]},
    "rows of files as strings": {"instances": TEXT},
    "rows of files as data URLs": {"instances": [{"b64": f"data:image/png;base64,{text}"} for text in TEXT]},
    "rows of files in lines": {"instances": [{"b64": f"{text[:76]}\n{text[76:]}\n"} for text in TEXT]},
    "rows of files by signature": {
        "signature_name": "serving_default",
        "instances": [{"image_bytes": {"b64": text}} for text in TEXT],
    },
    "rows of pixels by signature": {
        "signature_name": "serving_arrays",
        "instances": [{"images": pixels} for pixels in IMAGES.tolist()],
    },
    "rows of floats": {"instances": IMAGES.astype(float).tolist()},
    "a column of files": {"inputs": {"image_bytes": [{"b64": text} for text in TEXT]}},
    "a column of files without a name": {"inputs": [{"b64": text} for text in TEXT]},
    "a column of pixels": {"inputs": {"images": PIXELS}, "signature_name": "serving_arrays"},
    "a column of pixels without a name": {"inputs": PIXELS},
}


@pytest.mark.parametrize("form", V1_FORMS)
def test_each_form_of_tensorflow_serving_gets_the_saved_models_answer(server: Predictor, saved: Ask, form: str) -> None:
    status, answer = server.post(PREDICT, V1_FORMS[form])
    assert status == 200, answer
    probabilities = answer["outputs"]["probabilities"] if "inputs" in V1_FORMS[form] else probabilities_of(answer)
    np.testing.assert_allclose(probabilities, saved(IMAGES), atol=1e-3)


def test_columns_are_answered_in_columns_of_the_same_values_as_rows(server: Predictor) -> None:
    columns, rows = server.post(PREDICT, {"inputs": PIXELS})[1], server.post(PREDICT, {"instances": PIXELS})[1]
    assert columns.keys() == {"outputs", "model_name", "model_version"}
    names = ("class_name", "class_index", "probabilities")
    assert columns["outputs"] == {name: [row[name] for row in rows["predictions"]] for name in names}


def test_inference_input_json_is_the_first_test_image(server: Predictor, saved: Ask, published_volume: Volume) -> None:
    body = (ROOT / "inference-input.json").read_bytes()
    test = input_pipeline.load(published_volume, "test")
    assert json.loads(body) == {"instances": [file_instance((ROOT / "inference-input.png").read_bytes())]}
    status, answer = server.post(PREDICT, body)
    assert status == 200
    np.testing.assert_allclose(probabilities_of(answer), saved(test.images[:1]), atol=1e-3)


@pytest.mark.parametrize("content_type", ["application/json", "text/html"])
def test_a_v2_json_answer_has_only_the_requested_outputs(server: Predictor, saved: Ask, content_type: str) -> None:
    body = {"id": "7", "inputs": [v2_input(IMAGES)], "outputs": [{"name": "class_index"}]}
    status, answer = server.post(INFER, body, content_type=content_type)
    index = saved(IMAGES).argmax(axis=1).tolist()
    output = {"name": "class_index", "shape": [3], "datatype": "INT64", "data": index}
    assert status == 200
    assert answer == {"model_name": "flower-sample", "model_version": "1", "id": "7", "outputs": [output]}


@pytest.mark.parametrize(
    ("name", "datatype", "shape"),
    [("input-0", "FP32", [3, 28, 28]), ("images", "int64", [3, 784]), ("predict", "Uint8", [3, 1, 28, 28])],
)
def test_v2_accepts_other_names_datatypes_and_shapes(
    server: Predictor, saved: Ask, name: str, datatype: str, shape: list[int]
) -> None:
    values = float if datatype == "FP32" else int
    data = list(map(values, IMAGES.ravel().tolist()))
    tensor = {"name": name, "datatype": datatype, "shape": shape, "data": data}
    status, answer = server.post(INFER, {"inputs": [tensor]})
    assert status == 200
    assert [output["name"] for output in answer["outputs"]] == ["probabilities", "class_index", "class_name"]
    np.testing.assert_allclose(np.reshape(answer["outputs"][0]["data"], (3, 10)), saved(IMAGES), atol=1e-3)


def test_v2_answers_a_file_with_what_the_model_saw(server: Predictor, saved: Ask) -> None:
    file = image_file("RGB", "JPEG", 61, 47)
    encoded = [base64.b64encode(file).decode()]
    tensor = {"name": "image_bytes", "datatype": "BYTES", "shape": [1], "data": encoded}
    status, answer = server.post(
        INFER, {"inputs": [tensor], "outputs": [{"name": "probabilities"}, {"name": "images"}]}
    )
    probabilities, images = answer["outputs"]
    assert (status, images["shape"], images["datatype"]) == (200, [1, 28, 28, 1], "UINT8")
    seen = np.array(images["data"], np.uint8).reshape(1, 28, 28, 1)
    np.testing.assert_allclose([probabilities["data"]], saved(seen), atol=1e-3)
    np.testing.assert_allclose(saved([file]), saved(seen), atol=1e-3)


def test_v2_accepts_and_returns_binary_tensors(server: Predictor, saved: Ask) -> None:
    request = InferRequest("flower-sample", [InferInput("images", [3, 28, 28, 1], "UINT8")])
    request.inputs[0].set_data_from_numpy(IMAGES)
    body, length = request.to_rest()
    head = json.loads(body[:length]) | {"parameters": {"binary_data_output": True}}
    head = json.dumps(head).encode()
    header = {"Inference_Header_Content_Length": str(len(head))}
    status, headers, content = server.request("POST", INFER, head + body[length:], **header)
    assert status == 200 and headers["content-type"] == "application/octet-stream"
    answer = InferResponse.from_bytes(content, int(headers["inference-header-content-length"]))
    outputs = {output.name: output.as_numpy() for output in answer.outputs}
    np.testing.assert_allclose(outputs["probabilities"], saved(IMAGES), atol=1e-3)
    assert outputs["class_index"].tolist() == saved(IMAGES).argmax(axis=1).tolist()


def test_v2_accepts_image_files_as_binary_tensors(server: Predictor, saved: Ask) -> None:
    files = [png(image) for image in IMAGES]
    binary = b"".join(struct.pack("<I", len(file)) + file for file in files)
    parameters = {"binary_data_size": len(binary)}
    image_bytes = {"name": "image_bytes", "datatype": "BYTES", "shape": [3], "parameters": parameters}
    head = json.dumps({"inputs": [image_bytes]}).encode()
    status, answer = server.post(INFER, head + binary, Inference_Header_Content_Length=str(len(head)))
    assert status == 200
    (probabilities,) = [output for output in answer["outputs"] if output["name"] == "probabilities"]
    np.testing.assert_allclose(np.reshape(probabilities["data"], (3, 10)), saved(files), atol=1e-3)


def test_v2_accepts_image_files_as_base64_in_json(server: Predictor, saved: Ask) -> None:
    files = [png(image) for image in IMAGES]
    encoded = [base64.b64encode(file).decode() for file in files]
    tensor = {"name": "image_bytes", "datatype": "BYTES", "shape": [3], "data": encoded}
    status, answer = server.post(INFER, {"inputs": [tensor], "outputs": [{"name": "probabilities"}]})
    assert status == 200
    np.testing.assert_allclose(np.reshape(answer["outputs"][0]["data"], (3, 10)), saved(files), atol=1e-3)


def test_files_of_every_kind_get_the_saved_models_answer(server: Predictor, saved: Ask) -> None:
    sizes = [(28, 28), (1, 1), (61, 47), (17, 300)]
    files = [image_file(mode, kind, *size) for mode, kind in KINDS for size in sizes]
    assert len(files) == 40
    status, answer = server.post(PREDICT, {"instances": [file_instance(file) for file in files]})
    assert status == 200
    np.testing.assert_allclose(probabilities_of(answer), saved(files), atol=1e-3)
