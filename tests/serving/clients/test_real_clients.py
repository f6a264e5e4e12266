"""Triton's and KServe's own clients with a running predictor; all answers compared with the SavedModel's."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from distml.model.image_decoding import png
from support.predictor_process import Predictor
from support.predictor_requests import IMAGES, Ask, file_instance, probabilities_of
from support.project import CLASS_NAMES, ROOT, SOURCE

MODEL = "flower-sample"
FILES = np.array([png(image) for image in IMAGES], object)
BASE64 = np.array([file_instance(png(image))["image_bytes"]["b64"].encode() for image in IMAGES], object)
FLOATS = IMAGES.reshape(3, 784).astype(np.float32)
BOOL_RULE = "the datatype 'BOOL' is not accepted; expected BYTES for image files, or UINT8"
# The name, the content, and whether the content is sent as binary data.
FORMS = {
    "files": ("image_bytes", FILES, True),
    "files in JSON": ("image_bytes", BASE64, False),
    "pixels": ("images", IMAGES, True),
    "pixels in JSON": ("images", IMAGES, False),
    "floats": ("input-0", FLOATS, True),
    "floats in JSON": ("input-0", FLOATS, False),
}


def tensor(kind: Any, name: str, content: np.ndarray, binary: bool = True) -> Any:
    """Return an input of Triton's or KServe's client, `kind`."""
    described = kind(name, list(content.shape), np_to_triton_dtype(content.dtype))
    described.set_data_from_numpy(content, binary_data=binary)
    return described


def check_answer(answer: Any, saved: Ask) -> None:
    np.testing.assert_allclose(answer.as_numpy("probabilities"), saved(IMAGES), atol=1e-3)
    names = [name.decode() for name in answer.as_numpy("class_name").ravel()]
    assert names == [CLASS_NAMES[index] for index in saved(IMAGES).argmax(axis=1)]


@pytest.fixture
def client(server: Predictor) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(f"127.0.0.1:{server.http_port}") as client:
        yield client


def test_tritons_http_client_reads_states_and_metadata(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(MODEL, "1")
    assert not client.is_model_ready("another")
    assert client.get_server_metadata()["extensions"] == ["binary_tensor_data"]
    metadata = client.get_model_metadata(MODEL)
    assert [each["name"] for each in metadata["inputs"]] == ["image_bytes", "images"]
    assert [each["name"] for each in metadata["outputs"]] == ["probabilities", "class_index", "class_name"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("algorithm", [None, "gzip", "deflate"])
def test_tritons_http_client_gets_answers(
    client: triton.InferenceServerClient, saved: Ask, form: str, algorithm: str | None
) -> None:
    inputs = [tensor(triton.InferInput, *FORMS[form])]
    check_answer(client.infer(MODEL, inputs, request_compression_algorithm=algorithm), saved)


def test_tritons_http_client_gets_only_the_outputs_it_names(client: triton.InferenceServerClient) -> None:
    outputs = [triton.InferRequestedOutput(name, binary_data=name == "images") for name in ("images", "class_index")]
    inputs = [tensor(triton.InferInput, "image_bytes", FILES)]
    answer = client.infer(MODEL, inputs, outputs=outputs, request_id="7", priority=1, timeout=10**6)
    assert np.array_equal(answer.as_numpy("images"), IMAGES) and answer.as_numpy("class_index").shape == (3,)
    head = answer.get_response()
    assert (head["id"], [output["name"] for output in head["outputs"]]) == ("7", ["images", "class_index"])


@pytest.mark.parametrize(
    ("content", "options", "sentence"),
    [
        (IMAGES > 99, {}, BOOL_RULE),
        (FLOATS / 255, {}, "pixels must be whole numbers from 0 to 255; these are between 0 and 1, such as "),
        (IMAGES, {"outputs": [triton.InferRequestedOutput("probabilities", class_count=3)]}, '"classification" of the'),
    ],
)
def test_tritons_http_client_raises_our_sentence(
    client: triton.InferenceServerClient, content: np.ndarray, options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InferenceServerException) as caught:
        client.infer(MODEL, [tensor(triton.InferInput, "images", content)], **options)
    assert caught.value.status() == "400" and caught.value.message().startswith(sentence)


def test_tritons_asynchronous_http_client_gets_answers(server: Predictor, saved: Ask) -> None:
    async def ask() -> triton.InferResult:
        async with triton_aio.InferenceServerClient(f"127.0.0.1:{server.http_port}") as client:
            return await client.infer(MODEL, [tensor(triton_aio.InferInput, "image_bytes", FILES)])

    check_answer(asyncio.run(ask()), saved)


@pytest.fixture(scope="module")
def triton_grpc(server: Predictor) -> dict[str, Any]:
    """Return what Triton's gRPC clients got."""
    command = [sys.executable, "-m", "support.triton_grpc", str(server.grpc_port)]
    path = {"PYTHONPATH": f"{SOURCE}{os.pathsep}{ROOT / 'tests'}"}
    done = subprocess.run(command, env=os.environ | path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_tritons_grpc_client_reads_states_and_metadata(triton_grpc: dict[str, Any]) -> None:
    assert triton_grpc["states"] == [True, True, True]
    assert triton_grpc["server"] == ["binary_tensor_data"]
    assert triton_grpc["inputs"] == ["image_bytes", "images"]
    assert triton_grpc["outputs"] == ["probabilities", "class_index", "class_name"]


def test_tritons_grpc_clients_get_answers(triton_grpc: dict[str, Any], saved: Ask) -> None:
    answers = triton_grpc["probabilities"] | {"async": triton_grpc["async"]}
    assert list(answers) == ["files", "pixels", "floats", "half", "gzip", "deflate", "async"]
    for probabilities in answers.values():
        np.testing.assert_allclose(probabilities, saved(IMAGES), atol=1e-3)
    assert triton_grpc["class names"] == [CLASS_NAMES[index] for index in saved(IMAGES).argmax(axis=1)]
    assert np.array_equal(triton_grpc["seen"], IMAGES)


def test_tritons_grpc_client_raises_our_sentence(triton_grpc: dict[str, Any]) -> None:
    (status, datatype), (_, classification) = triton_grpc["refusals"]
    assert status == "StatusCode.INVALID_ARGUMENT" and datatype.startswith(BOOL_RULE)
    assert classification == '"classification" of the output "probabilities" is not offered; ask for "class_name"'


def kserve_request(form: str) -> InferRequest:
    return InferRequest(MODEL, [tensor(InferInput, *FORMS[form])])


@pytest.mark.parametrize("form", FORMS)
def test_kserves_rest_client_gets_v2_answers(server: Predictor, saved: Ask, form: str) -> None:
    async def ask() -> Any:
        client, url = InferenceRESTClient(RESTConfig(protocol="v2")), f"http://127.0.0.1:{server.http_port}"
        assert await client.is_server_ready(url) and await client.is_server_live(url)
        assert await client.is_model_ready(url, MODEL)
        return await client.infer(url, kserve_request(form), MODEL)

    answer = asyncio.run(ask())
    assert [output.name for output in answer.outputs] == ["probabilities", "class_index", "class_name"]
    np.testing.assert_allclose(answer.outputs[0].as_numpy(), saved(IMAGES), atol=1e-3)


def test_kserves_rest_client_gets_v1_answers_and_our_sentence(server: Predictor, saved: Ask) -> None:
    client, url = InferenceRESTClient(RESTConfig(protocol="v1")), f"http://127.0.0.1:{server.http_port}"

    async def ask() -> Any:
        answer = await client.infer(url, {"instances": [file_instance(file) for file in FILES]}, MODEL)
        with pytest.raises(httpx.HTTPStatusError, match="the request has no images, '400 Bad Request' for url"):
            await client.infer(url, {"instances": []}, MODEL)
        return answer

    np.testing.assert_allclose(probabilities_of(asyncio.run(ask())), saved(IMAGES), atol=1e-3)


@pytest.mark.parametrize("form", [form for form in FORMS if form != "files in JSON"])
def test_kserves_grpc_client_gets_answers(server: Predictor, saved: Ask, form: str) -> None:
    async def ask() -> Any:
        async with InferenceGRPCClient(f"127.0.0.1:{server.grpc_port}") as client:
            assert (
                await client.is_server_ready() and await client.is_server_live() and await client.is_model_ready(MODEL)
            )
            return await client.infer(kserve_request(form))

    np.testing.assert_allclose(asyncio.run(ask()).outputs[0].as_numpy(), saved(IMAGES), atol=1e-3)


def test_kserves_grpc_client_raises_our_sentence(server: Predictor) -> None:
    async def ask() -> None:
        async with InferenceGRPCClient(f"127.0.0.1:{server.grpc_port}") as client:
            await client.infer(InferRequest(MODEL, [tensor(InferInput, "images", IMAGES > 99)]))

    with pytest.raises(grpc.RpcError) as caught:
        asyncio.run(ask())
    assert caught.value.code().name == "INVALID_ARGUMENT" and caught.value.details().startswith(BOOL_RULE)
