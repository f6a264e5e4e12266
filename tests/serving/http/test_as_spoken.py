"""HTTP as clients, proxies and browsers speak it, to a predictor that is a real process on loopback."""

import gzip
import json
import socket
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from distml.step.volume import Volume
from support.predictor_process import INFER, PREDICT, READY, Predictor, predictor
from support.predictor_requests import IMAGES, v2_input

BODY = json.dumps({"instances": IMAGES.tolist()}).encode()
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
MODEL = "/v1/models/flower-sample"
# The first 64 KiB inflate well and use up all input; the bits that the stream still keeps are invalid.
ENDS_BADLY = bytes.fromhex("789cede081000000008020b0ee2fb14805") + bytes(59) + b"P" + b"U" * 903 + b"%"


def exchange(server: Predictor, *parts: bytes) -> bytes:
    """Send `parts` over one connection; return all that the server sends until it closes the connection."""
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=20) as client:
        for part in parts:
            client.sendall(part)
        answer = b""
        while part := client.recv(2**16):
            answer += part
    return answer


def post(headers: bytes, body: bytes = BODY) -> bytes:
    return b"POST %s HTTP/1.1\r\nHost: a\r\n%s\r\n%s" % (PREDICT.encode(), headers, body)


def test_an_offer_of_h2c_is_ignored_request_after_request(server: Predictor) -> None:
    before = len(server.events())
    length = b"Content-Length: %d\r\n" % len(BODY)
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    last = post(length + b"Connection: close\r\n")
    answer = exchange(server, post(OFFER + length), post(OFFER + b"Transfer-Encoding: chunked\r\n", chunked), last)
    assert answer.count(b"HTTP/1.1 200 OK") == 3 and answer.count(b'"predictions"') == 3
    assert [event for event in server.events()[before:] if event["level"] == "warning"] == []


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize(
    "framing", [b"Content-Length: 2\r\n\r\n{}", b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"]
)
def test_an_offer_in_the_last_request_of_a_connection_is_ignored(
    server: Predictor, version: bytes, framing: bytes
) -> None:
    head = b"POST %s HTTP/%s\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\n" % (PREDICT.encode(), version)
    answer = exchange(server, head + framing)
    assert answer.startswith(b"HTTP/1.1 400 Bad Request") and b'{"error":"the body must be' in answer


def test_an_offer_of_h2c_that_arrives_byte_by_byte_is_ignored(server: Predictor) -> None:
    request = (
        post(OFFER + b"Content-Length: 2\r\n", b"{}") + b"GET /v2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    )
    answer = exchange(server, *[request[at : at + 1] for at in range(len(request))])
    assert answer.startswith(b"HTTP/1.1 400 Bad Request") and b'{"error":"the body must be' in answer
    assert answer.count(b"HTTP/1.1 ") == 2 and answer.endswith(b'["binary_tensor_data"]}')


@pytest.mark.parametrize(
    "request_",
    [b"GET / HTTP/9\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"a\r\n\r\n"],
)
def test_what_is_not_http_1_gets_400_as_json(server: Predictor, request_: bytes) -> None:
    head, _, body = exchange(server, request_).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\n")
    assert json.loads(body).keys() == {"error"}


@pytest.mark.parametrize(
    ("coding", "compress"),
    [
        ("gzip", gzip.compress),
        ("X-Gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("identity", bytes),
        ("gzip", lambda body: gzip.compress(body[:100]) + gzip.compress(body[100:])),
    ],
)
def test_a_compressed_body_gets_the_same_answer(server: Predictor, coding: str, compress: Any) -> None:
    assert server.post(PREDICT, compress(BODY), content_encoding=coding) == server.post(PREDICT, BODY)


def test_a_compressed_v2_body_may_hold_binary_tensors(server: Predictor) -> None:
    tensor = {**v2_input(IMAGES), "parameters": {"binary_data_size": IMAGES.nbytes}}
    del tensor["data"]
    head = json.dumps({"id": "1", "inputs": [tensor]}).encode()
    plain = server.post(INFER, {"id": "1", "inputs": [v2_input(IMAGES)]})
    headers = {"content_encoding": "gzip", "inference_header_content_length": str(len(head))}
    assert server.post(INFER, gzip.compress(head + IMAGES.tobytes()), **headers) == plain


@pytest.mark.parametrize(
    ("coding", "body", "status", "sentence"),
    [
        ("gzip", BODY, 400, "the body is not gzip data, as its Content-Encoding says"),
        ("deflate", gzip.compress(BODY), 400, "the body is not deflate data, as its Content-Encoding says"),
        ("gzip", gzip.compress(BODY)[:-9], 400, "the body ends before its gzip data does; send all of it"),
        ("gzip", b"", 400, "the body ends before its gzip data does; send all of it"),
        ("gzip", gzip.compress(BODY) + b"a" * 20, 400, "the body is not gzip data, as its Content-Encoding says"),
        ("gzip", gzip.compress(b"a" * (2**23 + 1)), 413, "the body is longer than 8,388,608 bytes"),
        ("gzip", gzip.compress(b"") * 101, 400, "the body has more than 100 members of gzip; compress it as one"),
        ("deflate", ENDS_BADLY, 400, "the body is not deflate data, as its Content-Encoding says"),
        ("br", BODY, 415, "the Content-Encoding 'br' is not supported; send the body with gzip, deflate or none"),
    ],
)
def test_a_wrongly_compressed_body_is_refused_in_one_sentence(
    server: Predictor, coding: str, body: bytes, status: int, sentence: str
) -> None:
    assert server.post(PREDICT, body, content_encoding=coding) == (status, {"error": sentence})


def test_a_client_that_waits_for_100_continue_gets_it_and_the_answer(server: Predictor) -> None:
    head = post(b"Expect: 100-continue\r\nContent-Length: %d\r\nConnection: close\r\n" % len(BODY), b"")
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=20) as client:
        client.sendall(head)
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(BODY)
        assert client.recv(15) == b"HTTP/1.1 200 OK"


def test_several_codings_of_one_body_get_415(server: Predictor) -> None:
    length = b"Content-Length: %d\r\nConnection: close\r\n" % len(BODY)
    for headers in (b"Content-Encoding: gzip\r\nContent-Encoding: deflate\r\n", b"Content-Encoding: gzip, gzip\r\n"):
        assert exchange(server, post(headers + length)).startswith(b"HTTP/1.1 415 ")


def test_a_body_compressed_for_its_transfer_is_inflated(server: Predictor) -> None:
    body = gzip.compress(BODY)
    chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    answer = exchange(server, post(b"Transfer-Encoding: gzip, chunked\r\nConnection: close\r\n", chunked))
    assert answer.startswith(b"HTTP/1.1 200 OK")


def test_a_refusal_does_not_repeat_a_long_version(server: Predictor) -> None:
    status, answer = server.get(f"{MODEL}/versions/{'9' * 40_000}")
    assert status == 404 and answer == {"error": f"version {'9' * 20} is not served; version 1 is"}


def test_both_answers_at_the_root_vary_by_accept(server: Predictor) -> None:
    for accept, content_type in (("text/html", "text/html; charset=utf-8"), ("*/*", "application/json")):
        _, headers, _ = server.request("GET", "/", accept=accept)
        assert (headers["content-type"], headers["vary"]) == (content_type, "accept")


def test_an_unknown_content_coding_is_answered_with_the_known_ones(server: Predictor) -> None:
    assert server.request("POST", PREDICT, BODY, content_encoding="zstd")[1]["accept-encoding"] == "gzip, deflate"


@pytest.mark.parametrize("path", ["/", "/v2/health/live", "/v2/health/ready", READY, "/v1/models", MODEL, "/metrics"])
def test_head_gets_the_status_of_get_without_its_body(server: Predictor, path: Any) -> None:
    status, headers, content = server.request("HEAD", path)
    assert (status, content) == (200, b"") and int(headers["content-length"]) > 0


@pytest.mark.parametrize(("path", "allowed"), [(PREDICT, "POST, OPTIONS"), ("/v2", "GET, HEAD, OPTIONS")])
def test_options_tells_the_methods_without_allowing_origins(server: Predictor, path: str, allowed: str) -> None:
    preflight = {"origin": "https://example.com", "access_control_request_method": "POST"}
    status, headers, content = server.request("OPTIONS", path, **preflight)
    assert (status, headers["allow"], content) == (204, allowed, b"")
    assert [name for name in headers if name.lower().startswith("access-control")] == []


@pytest.mark.parametrize(
    ("method", "path", "status", "sentence"),
    [
        ("GET", "/nothing", 404, "GET /nothing is not offered; /openapi.json has the routes"),
        ("OPTIONS", "/nothing", 404, "OPTIONS /nothing is not offered; /openapi.json has the routes"),
        ("POST", "/v2", 405, "/v2 does not accept POST, only GET, HEAD, OPTIONS"),
        ("PUT", MODEL, 405, f"{MODEL} does not accept PUT, only GET, HEAD, OPTIONS"),
        ("DELETE", "/v2/nothing", 404, "DELETE /v2/nothing is not offered; /openapi.json has the routes"),
        ("GET", PREDICT, 405, f"{PREDICT} does not accept GET, only POST, OPTIONS"),
        ("GET", "/v2/models/another", 404, "unknown model; this server serves flower-sample"),
        ("GET", "/v1/models/another/metadata", 404, "unknown model; this server serves flower-sample"),
    ],
)
def test_a_wrong_path_or_method_gets_json_with_one_sentence(
    server: Predictor, method: str, path: str, status: int, sentence: str
) -> None:
    answered, _, content = server.request(method, path)
    assert (answered, json.loads(content)) == (status, {"error": sentence})


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_a_refusal_shows_only_the_beginning_of_a_long_path(server: Predictor, method: str) -> None:
    error = json.loads(server.request(method, "/" + "a" * 60_000)[2])["error"]
    assert "/" + "a" * 199 + "… " in error and len(error) < 300


@pytest.mark.parametrize("path", ["/v2", "/v2/health/live", READY, "/v1/models", MODEL])
def test_a_trailing_slash_changes_nothing(server: Predictor, path: str) -> None:
    assert server.get(f"{path}/") == server.get(path)
    assert server.post(f"{PREDICT}/", BODY) == server.post(PREDICT, BODY)


def test_an_answer_arrives_in_one_piece(server: Predictor) -> None:
    with socket.create_connection(("127.0.0.1", server.http_port), timeout=20) as client:
        client.sendall(post(b"Content-Length: %d\r\n" % len(BODY)))
        assert client.recv(2**16).endswith(b'"model_version":"1"}')


@pytest.fixture(scope="module")
def open_to_example(published_volume: Volume, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Predictor]:
    log = tmp_path_factory.mktemp("cors") / "log"
    with predictor(published_volume, log, "--cors-origins", "https://example.com", "--no-page") as running:
        yield running


def test_without_the_page_a_browser_gets_json(open_to_example: Predictor) -> None:
    status, headers, content = open_to_example.request("GET", "/", accept="text/html")
    assert (status, headers["content-type"], content) == (200, "application/json", b'{"status":"alive"}')


def test_an_allowed_origin_may_preflight_and_read_answers_and_refusals(open_to_example: Predictor) -> None:
    origin = {"origin": "https://example.com"}
    asked = {"access_control_request_method": "POST", "access_control_request_headers": "content-type"}
    status, headers, _ = open_to_example.request("OPTIONS", PREDICT, **origin, **asked)
    assert (status, headers["access-control-allow-origin"]) == (200, "https://example.com")
    assert (
        "POST" in headers["access-control-allow-methods"] and headers["access-control-allow-headers"] == "content-type"
    )
    for body in (BODY, b""):
        _, headers, _ = open_to_example.request("POST", PREDICT, body, **origin)
        assert headers["access-control-allow-origin"] == "https://example.com"


def test_another_origin_is_refused_and_reads_nothing(open_to_example: Predictor) -> None:
    asked = {"origin": "https://example.org", "access_control_request_method": "POST"}
    status, headers, content = open_to_example.request("OPTIONS", PREDICT, **asked)
    assert status == 400 and json.loads(content).keys() == {"error"}
    _, headers, _ = open_to_example.request("POST", PREDICT, BODY, origin="https://example.org")
    assert "access-control-allow-origin" not in headers
