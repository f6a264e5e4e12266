"""HTTP refusals of the predictor, a real process on loopback: a status and one sentence."""

import base64
import json
import socket
import struct
import zlib
from typing import Any

import pytest

from distml.model.image_decoding import png
from support.predictor_process import INFER, PREDICT, READY, Predictor
from support.predictor_requests import IMAGES, file_instance, v2_input


def png_announcing(width: int, height: int) -> bytes:
    """Return a PNG file that announces this size and holds no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


V1_BODY = (
    'the body must be a JSON object with either "instances", a list of images, or "inputs", such a list or'
    ' {"image_bytes": <list>} or {"images": <list>}'
)
IMAGE = (
    'an image must be a file in base64, {"b64": "..."}, or 28 lists of 28 pixels; either may be named, as'
    ' {"image_bytes": {"b64": "..."}} or {"images": <lists>}'
)
SIGNATURES = (
    '"signature_name" is unknown; this model has the signatures "serving_default" (for "image_bytes") and'
    ' "serving_arrays" (for "images")'
)
SHAPE = "an image given as pixels must have the shape [28, 28], [28, 28, 1] or [784]; found "
PIXELS = "pixels must be whole numbers from 0 to 255"
LARGE = "the image is too large: at most 16,777,216 pixels in an image, 33,554,432 in a request and 16,384 along a side"
ROWS = IMAGES[0, ..., 0].tolist()
FILE = file_instance(png(IMAGES[0]))
BAD_V1 = {
    "empty": (b"", "the body is empty"),
    "a list": (b"[]", V1_BODY),
    "no images": (b"{}", V1_BODY),
    "rows and columns": (
        {"instances": [ROWS], "inputs": [ROWS]},
        '"instances" (rows) and "inputs" (columns) exclude each other; send one of them',
    ),
    "no list": ({"instances": FILE}, '"instances" must be a list of images, even of one'),
    "no list in a column": (
        {"inputs": {"images": 7}},
        '"images" must be a list of images, even of one',
    ),
    "V2": (
        {"inputs": [v2_input(IMAGES)]},
        "this is a request of the V2 protocol; send it to /v2/models/<model>/infer",
    ),
    "an unknown input": (
        {"inputs": {"input_1": [ROWS]}},
        '"inputs" must name either "image_bytes" or "images", the inputs of this model',
    ),
    "an unknown signature": ({"instances": [FILE], "signature_name": "predict_images"}, SIGNATURES),
    "a number as signature": ({"instances": [FILE], "signature_name": 1}, SIGNATURES),
    "files for arrays": (
        {"instances": [FILE], "signature_name": "serving_arrays"},
        '"images", the input of serving_arrays, takes lists of pixels, not image files in base64;'
        ' name them "image_bytes", the input of serving_default',
    ),
    "pixels for files": (
        {"inputs": {"image_bytes": [ROWS]}},
        '"image_bytes", the input of serving_default, takes image files in base64, not lists of pixels;'
        ' name them "images", the input of serving_arrays',
    ),
    "no image": ({"instances": []}, "the request has no images"),
    "too many": ({"instances": [0] * 257}, "the request has 257 images; at most 256 are answered at once"),
    "a number": ({"instances": [1]}, IMAGE),
    "two names": ({"instances": [FILE | {"images": ROWS}]}, IMAGE),
    "no b64": ({"instances": [{"image_bytes": {"base64": "iVBO"}}]}, f"'base64' is unknown; {IMAGE}"),
    "a URL": (
        {"instances": ["https://example.org/cat.png"]},
        "an image file must be sent as its content in base64, not as its name or URL",
    ),
    "bad base64": (
        {"instances": [{"image_bytes": {"b64": "a?b"}}]},
        "the base64 of the image file has '?' as character 2; expected only characters of base64",
    ),
    "not an image": (
        {"instances": [file_instance(b"no image")]},
        "the image is not a JPEG or PNG file that can be read",
    ),
    "cut short": (
        {"instances": [file_instance(png(IMAGES[0])[:200])]},
        "the image begins as a PNG file, but cannot be read; it may be cut short or damaged",
    ),
    "base64 twice": (
        {"instances": [file_instance(base64.b64encode(png(IMAGES[0])))]},
        "the image is in base64 here; send the bytes of the file themselves, or in JSON their base64, made once",
    ),
    "an unknown name": ({"instances": [{"image": "iVBO"}]}, f"'image' is unknown; {IMAGE}"),
    "an image file as the body": (
        png(IMAGES[0]),
        'the body is an image file; send it in base64 within JSON, as in V1\'s {"instances": [{"b64": "..."}]}',
    ),
    "UTF-16": ("{}".encode("utf-16"), "the body is not JSON in UTF-8"),
    "announces too much": ({"instances": [file_instance(png_announcing(60000, 60000))]}, LARGE),
    "too wide": ({"instances": [file_instance(png_announcing(20000, 1))]}, LARGE),
    "wrong shape": ({"instances": [ROWS[1:]]}, f"{SHAPE}[27, 28]; image files may have any size and colour"),
    "no list around an image": (
        {"instances": ROWS},
        "the request has one image in place of a list of images; put its pixels into another list",
    ),
    "floats": (
        {"instances": [[[0.5] * 28] * 28]},
        f"{PIXELS}; these are between 0 and 1, such as 0.5; multiply them by 255 and round them",
    ),
    "floats of 0 and 1": (
        {"instances": [[[0.0, 1.0] * 14] * 28]},
        f"{PIXELS}; these are between 0 and 1, such as 1.0; multiply them by 255 and round them",
    ),
    "true": ({"instances": [[[True] * 28] * 28]}, f"{PIXELS}; one of them is true or false"),
    "256": ({"instances": [[[256] * 28] * 28]}, f"{PIXELS}; the largest is 256"),
    "strings": ({"instances": [[["0"] * 28] * 28]}, f"{PIXELS}; one of them is a string"),
    "one of several": (
        {"instances": [ROWS, file_instance(b"GIF89a")]},
        "image 2 of 2: the image is a GIF file; expected JPEG or PNG",
    ),
}


@pytest.mark.parametrize("case", BAD_V1)
def test_bad_v1_input_gets_400_with_one_sentence(server: Predictor, case: str) -> None:
    body, sentence = BAD_V1[case]
    assert server.post(PREDICT, body) == (400, {"error": sentence})


@pytest.mark.parametrize("body", [b"{", b'{"instances": [NaN]}', b"[" * 100_000])
def test_invalid_json_gets_400(server: Predictor, body: bytes) -> None:
    status, answer = server.post(PREDICT, body)
    assert status == 400 and answer["error"].startswith("the body is not valid JSON: ")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"datatype": "BOOL"}, "the datatype 'BOOL' is not accepted; expected BYTES for image files, or UINT8"),
        ({"name": "image_bytes"}, '"image_bytes" means image files, but UINT8 means pixels; name the input "images"'),
        (
            {"shape": [3, 28, 28, 3]},
            "the shape [3, 28, 28, 3] does not fit; pixels need [n, 28, 28, 1], [n, 28, 28] or",
        ),
        ({"shape": [-1, 28, 28, 1]}, "the shape [-1, 28, 28, 1] has a negative length; each must be that of the data"),
        ({"shape": [2, 28, 28, 1]}, "the shape announces 1568 pixels, but the data has 2352"),
        ({"data": ["a"] * 2352}, f"{PIXELS}; one of them is a string"),
        ({"data": [0, 0.5] * 1176}, f"{PIXELS}; these are between 0 and 1, such as 0.5; multiply them by 255"),
        ({"data": None}, 'the input needs "data", a list'),
        ({"parameters": {"binary_data_size": 5}}, 'the input has both "data" and "binary_data_size"'),
    ],
)
def test_bad_v2_input_gets_400_with_one_sentence(server: Predictor, change: dict[str, Any], sentence: str) -> None:
    status, answer = server.post(INFER, {"inputs": [v2_input(IMAGES) | change]})
    assert status == 400 and answer["error"].startswith(sentence)


def test_a_v1_body_on_the_v2_route_gets_400_with_the_route_of_v1(server: Predictor) -> None:
    sentence = "this is a request of the V1 protocol; send it to /v1/models/<model>:predict"
    assert server.post(INFER, {"instances": [FILE]}) == (400, {"error": sentence})


def test_a_body_over_the_limit_gets_413_whole_or_in_chunks(server: Predictor) -> None:
    long = b"[" * (2**23 + 1)
    for body in (long, iter([long[: 2**22], long[2**22 :]])):
        status, _, content = server.request("POST", PREDICT, body)
        assert (status, json.loads(content)) == (413, {"error": "the body is longer than 8,388,608 bytes"})


@pytest.mark.parametrize("path", [PREDICT, INFER])
def test_a_get_of_an_inference_route_gets_405(server: Predictor, path: Any) -> None:
    status, headers, content = server.request("GET", path)
    assert (status, headers["Allow"]) == (405, "POST, OPTIONS")
    assert json.loads(content) == {"error": f"{path} does not accept GET, only POST, OPTIONS"}


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
def test_only_the_served_model_and_version_answer_a_post(server: Predictor, path: Any, status: Any) -> None:
    assert server.post(path, {"inputs": [v2_input(IMAGES)]})[0] == status
    assert server.get(READY) == (200, {"name": "flower-sample", "ready": True})


def test_requests_over_the_byte_limit_get_503_with_retry_after(server: Predictor) -> None:
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
        assert json.loads(content) == {"error": "too many requests are waiting; retry in a second"}
    finally:
        for sender in senders:
            sender.close()
    server.wait(lambda: server.metric("predictor_requests_in_flight") == 0, "empty")
    assert server.post(PREDICT, {"instances": [ROWS]})[0] == 200


def test_headers_over_the_limit_get_400(server: Predictor) -> None:
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=20) as sender:
        sender.sendall(f"POST {PREDICT} HTTP/1.1\r\nHost: ".encode() + b"a" * 2**17)
        assert sender.recv(1000).startswith(b"HTTP/1.1 400 Bad Request")
