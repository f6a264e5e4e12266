"""Requests that people reported to fail with servers like this one, to a predictor that is a real process."""

import base64
import gzip
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from distml.model.image_decoding import png
from distml.step.volume import Volume
from support.predictor_process import INFER, PREDICT, Predictor, predictor
from support.predictor_requests import IMAGES, Ask, probabilities_of
from support.programs import program_or_skip
from support.project import ROOT

IMAGE = IMAGES[0, ..., 0]
ROWS, FLOATS = IMAGE.tolist(), IMAGE.astype(float).tolist()
TEXT = base64.b64encode(png(IMAGES[0])).decode()


def v2(name: str, datatype: str, shape: list[int], data: list) -> dict[str, Any]:
    return {"inputs": [{"name": name, "datatype": datatype, "shape": shape, "data": data}]}


V1_ANSWERED: dict[str, dict[str, Any]] = {
    "attention-ocr#94: a row without a name": {"instances": [{"b64": TEXT}]},
    "model_server#620: a named column": {"inputs": {"image_bytes": [{"b64": TEXT}]}},
    "model_server#620: a column without a name": {"inputs": [{"b64": TEXT}]},
    "serving#994: a signature": {"signature_name": "serving_arrays", "instances": [{"images": ROWS}]},
    "kserve#811: whole floats": {"instances": [FLOATS]},
    "serving#1141: a data URL": {"instances": [{"b64": f"data:image/png;base64,{TEXT}"}]},
    "handson-ml2#105: lines of base64": {"instances": [{"b64": f"{TEXT[:76]}\n{TEXT[76:]}\n"}]},
}
V2_ANSWERED = {
    "MLServer#811: FP32 under another name": v2("input-0", "FP32", [1, 28, 28], FLOATS),
    "modelmesh-serving#165: INT32 without a batch axis": v2("images", "INT32", [28, 28], ROWS),
    "modelmesh-serving#165: INT64 in lower case": v2("images", "int64", [1, 784], IMAGE.ravel().tolist()),
}
PIXELS = "pixels must be whole numbers from 0 to 255"
REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "kserve#942: an unknown signature": (
        PREDICT,
        {"signature_name": "predict_images", "instances": [{"b64": TEXT}]},
        '"signature_name" is unknown; this model has the signatures "serving_default" (for "image_bytes") and'
        ' "serving_arrays" (for "images")',
    ),
    "serving#1317: pixels from 0 to 1": (
        PREDICT,
        {"instances": [np.full((28, 28), 0.25).tolist()]},
        f"{PIXELS}; these are between 0 and 1, such as 0.25; multiply them by 255 and round them",
    ),
    "serving#1317: no batch axis": (
        PREDICT,
        {"instances": ROWS},
        "the request has one image in place of a list of images; put its pixels into another list",
    ),
    "MLServer#811: FP32 with a fraction": (
        INFER,
        v2("images", "FP32", [1, 28, 28], np.full((28, 28), 200.5).tolist()),
        f"{PIXELS}; 200.5 is not whole; round it",
    ),
    "serving#1141: a file's name": (
        PREDICT,
        {"instances": [{"b64": "cat.png"}]},
        "an image file must be sent as its content in base64, not as its name or URL",
    ),
}


@pytest.mark.parametrize("case", V1_ANSWERED)
@pytest.mark.parametrize("coding", ["identity", "gzip"])  # serving#1091, modelmesh-serving#111
def test_a_reported_v1_request_gets_the_saved_models_answer(
    server: Predictor, saved: Ask, case: str, coding: str
) -> None:
    body = json.dumps(V1_ANSWERED[case]).encode()
    status, answer = server.post(PREDICT, gzip.compress(body) if coding == "gzip" else body, content_encoding=coding)
    assert status == 200, answer
    probabilities = answer["outputs"]["probabilities"] if "outputs" in answer else probabilities_of(answer)
    np.testing.assert_allclose(probabilities, saved(IMAGES[:1]), atol=1e-3)


@pytest.mark.parametrize("case", V2_ANSWERED)
def test_a_reported_v2_request_gets_the_saved_models_answer(server: Predictor, saved: Ask, case: str) -> None:
    status, answer = server.post(INFER, V2_ANSWERED[case])
    assert status == 200, answer
    np.testing.assert_allclose([answer["outputs"][0]["data"]], saved(IMAGES[:1]), atol=1e-3)


@pytest.mark.parametrize("case", REFUSED)
def test_a_reported_mistake_is_named_in_one_sentence(server: Predictor, case: str) -> None:
    path, document, sentence = REFUSED[case]
    assert server.post(path, document) == (400, {"error": sentence})


def test_curl_offers_h2c_and_gets_the_answer_twice_on_a_connection(server: Predictor, saved: Ask) -> None:
    # uvicorn#2722
    url, body = f"http://127.0.0.1:{server.http_port}{PREDICT}", f"@{ROOT / 'inference-input.json'}"
    one = ["--http2", "--silent", "--data", body, "--write-out", "\n%{http_code} %{num_connects}\n", url]
    command = [program_or_skip("curl", "curl"), *one, "--next", *one]
    lines = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
    assert lines[1::2] == ["200 1", "200 0"]
    expected = saved([(ROOT / "inference-input.png").read_bytes()])
    for answer in lines[::2]:
        np.testing.assert_allclose(probabilities_of(json.loads(answer)), expected, atol=1e-3)


@pytest.fixture(scope="module")
def fashion(published_volume: Volume, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    """Start a predictor whose service has another name."""
    log = tmp_path_factory.mktemp("fashion") / "log"
    with predictor(published_volume, log, "--model-name", "fashion") as running:
        yield running


def test_a_service_of_another_name_answers_under_that_name(fashion: Predictor) -> None:
    # kserve#1656
    document = {"instances": [ROWS]}
    status, answer = fashion.post("/v1/models/fashion:predict", document)
    assert (status, answer["model_name"]) == (200, "fashion")
    assert fashion.post(PREDICT, document) == (404, {"error": "unknown model; this server serves fashion"})
