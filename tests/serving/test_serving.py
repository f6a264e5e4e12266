"""The predictor as a real process on loopback: what it answers, over each protocol, and what it refuses."""

import base64
import io
import json
import os
import re
import socket
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from kserve import InferInput, InferRequest, InferResponse
from kserve.protocol.grpc.grpc_predict_v2_pb2 import ModelInferRequest
from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub
from PIL import Image

import grpc_client
from distml.data import input_pipeline
from distml.model import saved_model
from distml.protocol import client
from distml.step import outcome
from distml.step.volume import Volume
from support.images import KINDS, image_file
from support.network import DEAD_PROXY, needs_ipv6
from support.predictor_process import INFER, PREDICT, READY, Predictor, free_port, predictor
from support.project import ROOT, SOURCE, run_script

# The SavedModel's answer to a list of image files, or to an array of images: probabilities.
Ask = Callable[[Any], np.ndarray]
IMAGES = np.random.default_rng(7).integers(0, 256, (3, 28, 28, 1), np.uint8)


@pytest.fixture(scope="module")
def server(published_volume: Volume, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    with predictor(published_volume, tmp_path_factory.mktemp("server") / "log") as running:
        yield running


@pytest.fixture(scope="module")
def saved(published_volume: Volume) -> Ask:
    """The published SavedModel's answer to image files or to arrays, as probabilities."""
    model, _ = saved_model.load(published_volume.version(1))

    def ask(images: Any) -> np.ndarray:
        if isinstance(images, list):
            return model.signatures["serving_default"](image_bytes=tf.constant(images))["probabilities"].numpy()
        return model.signatures["serving_arrays"](images=tf.constant(images))["probabilities"].numpy()

    return ask


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image[..., 0]).save(file, "PNG")
    return file.getvalue()


def file_instance(content: bytes) -> dict:
    return {"image_bytes": {"b64": base64.b64encode(content).decode()}}


def v2_input(images: np.ndarray) -> dict:
    return {"name": "images", "datatype": "UINT8", "shape": list(images.shape), "data": images.ravel().tolist()}


def probabilities_of(answer: dict) -> np.ndarray:
    return np.array([prediction["probabilities"] for prediction in answer["predictions"]])


def test_its_v1_answer_has_class_index_probabilities_and_version(server: Predictor, saved: Ask) -> None:
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
def test_files_and_arrays_mixed_in_one_request_are_answered_whatever_the_content_type(
    server: Predictor, saved: Ask, content_type: str
) -> None:
    instances = [file_instance(png(IMAGES[0])), IMAGES[1].tolist(), IMAGES[2, ..., 0].tolist()]
    status, answer = server.post(PREDICT, {"instances": instances}, content_type=content_type)
    assert status == 200
    np.testing.assert_allclose(probabilities_of(answer), saved(IMAGES), atol=1e-3)


def test_inference_input_json_is_the_first_test_image(server: Predictor, saved: Ask, published_volume: Volume) -> None:
    body = (ROOT / "inference-input.json").read_bytes()
    test = input_pipeline.load(published_volume, "test")
    assert json.loads(body) == {"instances": [file_instance((ROOT / "inference-input.png").read_bytes())]}
    status, answer = server.post(PREDICT, body)
    assert status == 200
    np.testing.assert_allclose(probabilities_of(answer), saved(test.images[:1]), atol=1e-3)


@pytest.mark.parametrize("content_type", ["application/json", "text/html"])
def test_v2_answers_json_with_the_outputs_that_were_asked_for(server: Predictor, saved: Ask, content_type: str) -> None:
    body = {"id": "7", "inputs": [v2_input(IMAGES)], "outputs": [{"name": "class_index"}]}
    status, answer = server.post(INFER, body, content_type=content_type)
    index = saved(IMAGES).argmax(axis=1).tolist()
    output = {"name": "class_index", "shape": [3], "datatype": "INT64", "data": index}
    assert status == 200
    assert answer == {"model_name": "flower-sample", "model_version": "1", "id": "7", "outputs": [output]}


def test_v2_takes_and_returns_binary_tensors(server: Predictor, saved: Ask) -> None:
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


def test_v2_takes_image_files_as_binary_tensors(server: Predictor, saved: Ask) -> None:
    files = [png(image) for image in IMAGES]
    binary = b"".join(struct.pack("<I", len(file)) + file for file in files)
    parameters = {"binary_data_size": len(binary)}
    image_bytes = {"name": "image_bytes", "datatype": "BYTES", "shape": [3], "parameters": parameters}
    head = json.dumps({"inputs": [image_bytes]}).encode()
    status, answer = server.post(INFER, head + binary, Inference_Header_Content_Length=str(len(head)))
    assert status == 200
    (probabilities,) = [output for output in answer["outputs"] if output["name"] == "probabilities"]
    np.testing.assert_allclose(np.reshape(probabilities["data"], (3, 10)), saved(files), atol=1e-3)


def test_v2_takes_image_files_in_base64_in_json(server: Predictor, saved: Ask) -> None:
    files = [png(image) for image in IMAGES]
    encoded = [base64.b64encode(file).decode() for file in files]
    tensor = {"name": "image_bytes", "datatype": "BYTES", "shape": [3], "data": encoded}
    status, answer = server.post(INFER, {"inputs": [tensor], "outputs": [{"name": "probabilities"}]})
    assert status == 200
    np.testing.assert_allclose(np.reshape(answer["outputs"][0]["data"], (3, 10)), saved(files), atol=1e-3)


@pytest.fixture
def stub(server: Predictor) -> Iterator[GRPCInferenceServiceStub]:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", [("grpc.max_send_message_length", -1)]) as channel:
        yield GRPCInferenceServiceStub(channel)


def grpc_request(name: str, datatype: str, content: np.ndarray, binary: bool = True) -> ModelInferRequest:
    tensor = InferInput(name, list(content.shape), datatype)
    tensor.set_data_from_numpy(content, binary_data=binary)
    return InferRequest("flower-sample", [tensor]).to_grpc()


@pytest.mark.parametrize("binary", [True, False])
def test_grpc_answers_arrays_and_files(stub: GRPCInferenceServiceStub, saved: Ask, binary: bool) -> None:
    files = [png(image) for image in IMAGES]
    of_files = grpc_request("image_bytes", "BYTES", np.array(files, dtype=object))
    if not binary:  # KServe's own client would take the files for text
        of_files.inputs[0].contents.bytes_contents.extend(files)
        del of_files.raw_input_contents[:]
    for request in (grpc_request("images", "UINT8", IMAGES, binary), of_files):
        answer = InferResponse.from_grpc(stub.ModelInfer(request, timeout=20))
        outputs = {output.name: output.as_numpy() for output in answer.outputs}
        assert answer.model_version == "1"
        np.testing.assert_allclose(outputs["probabilities"].reshape(3, 10), saved(IMAGES), atol=1e-3)


def test_files_of_every_kind_get_the_saved_models_answer(server: Predictor, saved: Ask) -> None:
    sizes = [(28, 28), (1, 1), (61, 47), (17, 300)]
    files = [image_file(mode, kind, *size) for mode, kind in KINDS for size in sizes]
    assert len(files) == 40
    status, answer = server.post(PREDICT, {"instances": [file_instance(file) for file in files]})
    assert status == 200
    np.testing.assert_allclose(probabilities_of(answer), saved(files), atol=1e-3)


def announcing(width: int, height: int) -> bytes:
    """A PNG file that announces so many pixels, and holds none."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


NOT_AN_IMAGE = "the image is not a JPEG or PNG file that can be read"
INSTANCE = 'an instance must be {"image_bytes": {"b64": "..."}} or a 28x28 list of pixels'
PIXELS = "pixels must be whole numbers from 0 to 255"
LARGE = "the image is too large: at most 16,777,216 pixels in an image, 33,554,432 in a request and 16,384 along a side"
ROWS = IMAGES[0, ..., 0].tolist()
BAD_V1 = {
    "empty": (b"", "the body is empty"),
    "a list": (b"[]", 'the body must be a JSON object with a list "instances"'),
    "no instances": (b"{}", 'the body must be a JSON object with a list "instances"'),
    "no image": ({"instances": []}, "the request holds no images"),
    "too many": ({"instances": [0] * 257}, "the request holds 257 images; at most 256 are answered at once"),
    "a number": ({"instances": [1]}, INSTANCE),
    "no b64": ({"instances": [{"image_bytes": "abc"}]}, INSTANCE),
    "bad base64": (
        {"instances": [{"image_bytes": {"b64": "a?b"}}]},
        "an image file must be a string in base64, without line breaks",
    ),
    "not an image": ({"instances": [file_instance(b"GIF89a and more")]}, NOT_AN_IMAGE),
    "cut short": ({"instances": [file_instance(png(IMAGES[0])[:200])]}, NOT_AN_IMAGE),
    "announces too much": ({"instances": [file_instance(announcing(60000, 60000))]}, LARGE),
    "too wide": ({"instances": [file_instance(announcing(20000, 1))]}, LARGE),
    "wrong shape": (
        {"instances": [ROWS[1:]]},
        "an image given as pixels must have the shape [28, 28] or [28, 28, 1]",
    ),
    "floats": ({"instances": [[[0.5] * 28] * 28]}, PIXELS),
    "true": ({"instances": [[[True] * 28] * 28]}, PIXELS),
    "256": ({"instances": [[[256] * 28] * 28]}, PIXELS),
    "strings": ({"instances": [[["0"] * 28] * 28]}, PIXELS),
    "one of several": ({"instances": [ROWS, file_instance(b"GIF89a")]}, f"image 2 of 2: {NOT_AN_IMAGE}"),
}


@pytest.mark.parametrize("case", BAD_V1)
def test_bad_input_gets_400_with_one_sentence(server: Predictor, case: str) -> None:
    body, sentence = BAD_V1[case]
    assert server.post(PREDICT, body) == (400, {"error": sentence})


@pytest.mark.parametrize("body", [b"{", b'{"instances": [NaN]}', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_gets_400(server: Predictor, body: bytes) -> None:
    status, answer = server.post(PREDICT, body)
    assert status == 400 and answer["error"].startswith("the body is not valid JSON: ")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"datatype": "FP32"}, "expected one input, either"),
        ({"shape": [3, 28, 28, 3]}, "expected one input, either"),
        ({"shape": [-1, 28, 28, 1]}, "the request holds no images"),
        ({"shape": [2, 28, 28, 1]}, "the shape says 1568 pixels, the data holds 2352"),
        ({"data": ["a"]}, "pixels must be whole numbers"),
        ({"data": None}, 'the input needs either "data"'),
        ({"parameters": {"binary_data_size": 5}}, '"binary_data_size" must be the length'),
    ],
)
def test_bad_v2_input_gets_400_with_one_sentence(server: Predictor, change: dict[str, Any], sentence: str) -> None:
    status, answer = server.post(INFER, {"inputs": [v2_input(IMAGES) | change]})
    assert status == 400 and answer["error"].startswith(sentence)


@pytest.mark.parametrize(
    ("request_", "code", "sentence"),
    [
        (grpc_request("images", "UINT8", IMAGES[:, 1:]), "INVALID_ARGUMENT", "expected one input, either"),
        (grpc_request("other", "UINT8", IMAGES), "INVALID_ARGUMENT", "expected one input, either"),
        (grpc_request("image_bytes", "BYTES", np.array([b"no"], object)), "INVALID_ARGUMENT", NOT_AN_IMAGE),
        (InferRequest("flower-sample", []).to_grpc(), "INVALID_ARGUMENT", "expected one input, either"),
        (InferRequest("another", []).to_grpc(), "NOT_FOUND", "Model with name another does not exist."),
        (grpc_request("images", "UINT8", np.zeros((2**14, 28, 28), np.uint8)), "RESOURCE_EXHAUSTED", ""),
    ],
)
def test_bad_grpc_input_gets_a_status_with_one_sentence(
    stub: GRPCInferenceServiceStub, request_: ModelInferRequest, code: str, sentence: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(request_, timeout=20)
    assert caught.value.code().name == code
    assert caught.value.details().startswith(sentence) and "\n" not in caught.value.details()


def test_a_body_over_the_limit_gets_413_also_when_it_comes_in_chunks(server: Predictor) -> None:
    long = b"[" * (2**23 + 1)
    for body in (long, iter([long[: 2**22], long[2**22 :]])):
        status, _, content = server.request("POST", PREDICT, body)
        assert (status, json.loads(content)) == (413, {"error": "the body is longer than 8,388,608 bytes"})


@pytest.mark.parametrize("path", [PREDICT, INFER])
def test_what_takes_post_says_so_to_a_get(server: Predictor, path: Any) -> None:
    status, headers, content = server.request("GET", path)
    assert (status, headers["Allow"]) == (405, "POST")
    assert json.loads(content) == {"error": f"{path} takes POST, with the images in the body"}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/models/another:predict", 404),
        ("/v2/models/flower-sample/versions/2/infer", 404),
        ("/v2/models/flower-sample/versions/1/infer", 200),
        ("/v2/repository/models/flower-sample/unload", 404),
        ("/v1/models/flower-sample:explain", 404),
        *((f"{path}%0A", 404) for path in (PREDICT, INFER, "/v1/models/flower-sample:explain")),
        ("/v2/repository/models/flower-sample/unload%0A", 404),
    ],
)
def test_only_this_model_and_version_answer_and_nobody_can_unload_it(server: Predictor, path: Any, status: Any) -> None:
    assert server.post(path, {"inputs": [v2_input(IMAGES)]})[0] == status
    assert server.get(READY) == (200, {"name": "flower-sample", "ready": True})


def test_beyond_the_bound_it_answers_503_with_retry_after(server: Predictor) -> None:
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {2**23}\r\n\r\n".encode()
    senders = [socket.create_connection(("127.0.0.1", server.http_port)) for _ in range(8)]
    try:
        for sender in senders:
            sender.sendall(head)
        server.wait(lambda: server.metric("predictor_requests_in_flight") == 8, "busy")
        assert server.post(PREDICT, {"instances": [ROWS]})[0] == 200
        for sender in senders:
            sender.sendall(b"[" * (2**23 - 1))
        server.wait(lambda: server.post(PREDICT, b"[" * 10)[0] == 503, "full")
        status, headers, content = server.request("POST", PREDICT, b"[" * 10)
        assert (status, headers["retry-after"]) == (503, "1")
        assert json.loads(content) == {"error": "too many requests are waiting; come again in a second"}
    finally:
        for sender in senders:
            sender.close()
    server.wait(lambda: server.metric("predictor_requests_in_flight") == 0, "empty")
    assert server.post(PREDICT, {"instances": [ROWS]})[0] == 200


def test_headers_without_end_are_refused(server: Predictor) -> None:
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=20) as sender:
        sender.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: ".encode() + b"a" * 2**17)
        assert sender.recv(1000).startswith(b"HTTP/1.1 400 Bad Request")


def test_metrics_count_requests_errors_batches_and_intensities_beside_the_training_sets(
    published_volume: Volume, tmp_path: Path
) -> None:
    with predictor(published_volume, tmp_path / "log") as server:
        server.post(PREDICT, {"instances": [np.full((28, 28), 100).tolist()] * 2})
        server.post(PREDICT, b"")
        manifest = json.loads((published_volume.version(1) / "manifest.json").read_text())
        model = f'digest="{manifest["digest"]}",model="batchnorm",version="1"'
        expected = {
            'predictor_requests_total{outcome="ok",protocol="v1"}': 1,
            'predictor_requests_total{outcome="bad input",protocol="v1"}': 1,
            "predictor_requests_in_flight": 0,
            "predictor_batch_images_sum": 2,
            'predictor_request_seconds_count{protocol="v1"}': 2,
            f"predictor_model_info{{{model}}}": 1,
            'predictor_image_intensity_bucket{le="96.0"}': 0,
            'predictor_image_intensity_bucket{le="104.0"}': 2,
            "predictor_image_intensity_sum": 200,
            "predictor_training_image_intensity_count": 55_000,
        }
        assert {name: server.metric(name) for name in expected} == expected
        assert [event["event"] for event in server.events()] == ["version loaded", "serving"]


def test_the_predictor_loads_a_model_without_tensorflow(published_volume: Volume) -> None:
    program = (
        "import sys; sys.argv = sys.argv[:1] + [sys.argv[1]]\n"
        "from pathlib import Path; from distml.serving import server; from distml.serving.predictor import Predictor\n"
        "from distml.serving.release import served_version\n"
        "Predictor(served_version.load(Path(sys.argv[1]), 1))\n"
        "print(sorted({'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", program, str(published_volume.version(1))]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout == "[]\n", ended.stderr


def test_both_clients_print_the_class_of_each_file(server: Predictor, tmp_path: Path, saved: Ask) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(2)]
    for path, image in zip(paths, IMAGES, strict=False):
        path.write_bytes(png(image))
    for script, port in (("http_client.py", server.http_port), ("grpc_client.py", server.grpc_port)):
        ended = run_script(script, "--host", "127.0.0.1", "--port", port, "--service-hostname", "a.example", *paths)
        assert ended.returncode == 0, ended.stderr
        lines = ended.stdout.splitlines()
        assert lines[0] == "flower-sample, version 1"
        assert [line.split()[0] for line in lines[4:]] == list(map(str, paths))
        assert [f"{max(row):.1%}" in line for row, line in zip(saved(IMAGES[:2]), lines[4:], strict=True)] == [True] * 2


@pytest.mark.parametrize("host", ["127.0.0.1", *(pytest.param(host, marks=needs_ipv6) for host in ("::1", "[::1]"))])
def test_both_clients_reach_it_by_both_families_and_past_any_proxy(server: Predictor, host: Any) -> None:
    for script, port in (("http_client.py", server.http_port), ("grpc_client.py", server.grpc_port)):
        ended = run_script(script, "--host", host, "--port", port, ROOT / "inference-input.png", **DEAD_PROXY)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout.startswith("flower-sample, version 1\n")


def test_the_clients_say_what_the_server_said(server: Predictor, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    for script, port in (("http_client.py", server.http_port), ("grpc_client.py", server.grpc_port)):
        ended = run_script(script, "--host", "127.0.0.1", "--port", port, bad)
        assert ended.returncode == 2 and NOT_AN_IMAGE in ended.stderr and len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("script", ["http_client.py", "grpc_client.py"])
def test_a_host_name_that_is_none_is_one_line(script: str) -> None:
    ended = run_script(script, "--service-hostname", "a\nb", ROOT / "inference-input.png")
    line = f"{script}: argument --service-hostname: 'a\\nb' is not a host name; see --help\n"
    assert (ended.returncode, ended.stderr) == (2, line)


def test_an_answer_without_what_was_asked_for_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    args = grpc_client.parse_args(["image.png"])
    monkeypatch.setattr(client, "read_file", lambda path: b"")
    monkeypatch.setattr(grpc_client, "ask", lambda args, files: InferResponse("1", "another", []))
    with pytest.raises(outcome.StepError, match="what localhost:8081 answers is no prediction of such images"):
        grpc_client.main(args)


def test_the_clients_say_what_to_do_when_nobody_listens(server: Predictor) -> None:
    for script in ("http_client.py", "grpc_client.py"):
        ended = run_script(script, "--host", "127.0.0.1", "--port", free_port(), ROOT / "inference-input.png")
        assert ended.returncode == 2 and "start `make serve`" in ended.stderr and ended.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_named_before_anything_is_loaded(server: Predictor, published_volume: Volume) -> None:
    for option, port in (("--http-port", server.http_port), ("--grpc-port", server.grpc_port)):
        ended = run_script("serve.py", "--volume", published_volume, "--http-port", free_port(), option, port)
        assert ended.returncode == 2
        assert ended.stderr.startswith(f"serve.py: cannot listen on port {port}: Address already in use; choose")


@needs_ipv6
@pytest.mark.parametrize("option", ["--http-port", "--grpc-port"])
def test_a_port_that_is_taken_on_ipv6_alone_is_named(published_volume: Volume, option: str) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        ended = run_script("serve.py", "--volume", published_volume, "--http-port", free_port(), option, port)
    line = f"serve.py: cannot listen on port {port}: Address already in use; choose another {option}\n"
    assert (ended.returncode, ended.stderr) == (2, line)


def test_one_port_for_both_protocols_is_refused(tmp_path: Path) -> None:
    port = free_port()
    ended = run_script("serve.py", "--volume", tmp_path, "--http-port", port, "--grpc-port", port)
    line = f"serve.py: REST and gRPC cannot share port {port}; choose another --grpc-port\n"
    assert (ended.returncode, ended.stderr) == (2, line)


@pytest.mark.parametrize("port", ["0", "65536", "http"])
def test_a_port_that_is_none_is_one_line(port: str, tmp_path: Path) -> None:
    ended = run_script("serve.py", "--volume", tmp_path, "--http-port", port)
    assert ended.returncode == 2
    assert ended.stderr == (f"serve.py: argument --http-port: {port!r} is not an integer from 1 to 65535; see --help\n")


def test_without_a_published_model_it_ends_with_one_sentence(tmp_path: Path) -> None:
    ended = run_script("serve.py", "--volume", tmp_path)
    assert ended.returncode == 2
    sentence = r"^serve.py: no published model that is whole in .*; publish one, or name another --volume$"
    assert re.search(sentence, ended.stderr, re.M)


def test_its_own_help_is_shown(tmp_path: Path) -> None:
    assert "--drain-seconds" in run_script("serve.py", "--help").stdout
