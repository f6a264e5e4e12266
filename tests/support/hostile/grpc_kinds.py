"""Kinds of hostile gRPC requests; each function sends one, and returns the name of its status code."""

import contextlib
import socket
from random import Random
from typing import Any

import grpc
import numpy as np
from google.protobuf.message import Message
from grpc_health.v1.health_pb2 import HealthCheckRequest
from kserve import InferInput, InferRequest, InferResponse
from kserve.protocol.grpc import grpc_predict_v2_pb2 as messages

from support.hostile.client import Client, Malformed, check_sentence
from support.hostile.documents import FILES, damaged
from support.predictor_requests import IMAGES

SERVICE = "/inference.GRPCInferenceService/"
INFER = f"{SERVICE}ModelInfer"
DATATYPES = ("UINT8", "BYTES", "FP32", "FP16", "INT64", "BOOL", "STRING", "uint8", "", "\0", "BF16")
SHAPES: tuple[list[int], ...] = (
    [3, 28, 28, 1],
    [3, 28, 28],
    [3],
    [],
    [0],
    [-1],
    [3, 784],
    [2**40, 28, 28, 1],
    [2**62, 4],
    [1] * 99,
    [3, 27, 28],
)
NAMES = ("images", "image_bytes", "input-0", "", "Images", "ä" * 99)
# The client ends these calls itself. gRPC answers UNKNOWN, with its own sentence, to what is not a message.
OWN_ENDS = {"CANCELLED", "DEADLINE_EXCEEDED"}


def ask(client: Client, method: str, request: bytes, **options: Any) -> tuple[str, bytes]:
    """Send the bytes of a message; return the name of the status code, and the bytes of the answer."""
    try:
        return "OK", client.channel.unary_unary(method)(request, timeout=60, **options)
    except grpc.RpcError as refusal:
        call: Any = refusal
        code, details = call.code().name, call.details()
        if code == "INTERNAL":
            raise Malformed(f"{code}: {details}") from None
        if code not in OWN_ENDS | {"UNKNOWN"}:
            check_sentence(details)
        return code, b""


def valid_request(random: Random) -> Message:
    name, datatype, content = random.choice(
        (
            ("images", "UINT8", IMAGES),
            ("images", "UINT8", IMAGES[..., 0]),
            ("image_bytes", "BYTES", np.array(FILES, object)),
        )
    )
    tensor = InferInput(name, list(content.shape), datatype)
    tensor.set_data_from_numpy(content, binary_data=name == "image_bytes" or random.random() < 0.5)
    return InferRequest("flower-sample", [tensor]).to_grpc()


def valid(client: Client, random: Random, classes: list[int]) -> str:
    """Send a valid request, and compare the classes in its answer."""
    code, answer = ask(client, INFER, valid_request(random).SerializeToString())
    if code != "OK":
        raise Malformed(f"expected an answer, found {code}")
    outputs = InferResponse.from_grpc(messages.ModelInferResponse.FromString(answer)).outputs
    found = {output.name: output.as_numpy().ravel().tolist() for output in outputs}
    if found["class_index"] != classes:
        raise Malformed(f"expected the classes {classes}, found {found}")
    return code


def wrong(client: Client, random: Random) -> str:
    """Send a request with a wrong name, datatype, shape, length, model, version or number of tensors."""
    request: Any = valid_request(random)
    tensor = request.inputs[0]
    for _ in range(random.randrange(1, 3)):
        way = random.randrange(9)
        if way == 0:
            tensor.name = random.choice(NAMES)
        elif way == 1:
            tensor.datatype = random.choice(DATATYPES)
        elif way == 2:
            tensor.shape[:] = random.choice(SHAPES)
        elif way == 3 and request.raw_input_contents:
            request.raw_input_contents[0] = damaged(request.raw_input_contents[0], random)
        elif way == 4:
            request.raw_input_contents.append(random.choice((b"", b"a", IMAGES.tobytes())))
        elif way == 5:
            tensor.contents.fp32_contents.extend(random.choice(([0.5], [float("nan")] * 784, [1e38] * 2352)))
        elif way == 6:
            tensor.contents.int64_contents.extend(random.choice(([-1], [2**63 - 1] * 784)))
        elif way == 7:
            request.inputs.append(tensor)
        else:
            setattr(request, *random.choice((("model_name", "another"), ("model_version", "9"), ("id", "\0" * 999))))
            request.outputs.add(name=random.choice(("class_index", "another", "")))
    return ask(client, INFER, request.SerializeToString())[0]


def too_large(client: Client, random: Random) -> str:
    """Send more bytes than a body may have, or images than a request may have."""
    count = random.choice((257, 2**14))
    tensor = InferInput("images", [count, 28, 28, 1], "UINT8")
    tensor.set_data_from_numpy(np.zeros((count, 28, 28, 1), np.uint8))
    return ask(client, INFER, InferRequest("flower-sample", [tensor]).to_grpc().SerializeToString())[0]


def other_method(client: Client, random: Random) -> str:
    """Call another method: one that is not offered, or one with a message of another method."""
    request: Any = random.choice(
        (
            *(messages.RepositoryModelUnloadRequest(model_name="flower-sample"), messages.ServerLiveRequest()),
            *(
                messages.ModelReadyRequest(name="ä" * 200),
                messages.ModelMetadataRequest(name="flower-sample", version="ä"),
            ),
            *(HealthCheckRequest(service="ä" * 99), messages.ModelReadyRequest(name="flower-sample", version="1")),
        )
    )
    names = ("RepositoryModelUnload", "RepositoryModelLoad", "ModelReady", "ModelMetadata", "ServerLive", "ServerReady")
    others = ("/a/b", "/grpc.health.v1.Health/Check", f"{SERVICE}Unknown", "/inference.GRPCInferenceService", "/", "/ä")
    method = random.choice((*(SERVICE + name for name in names), *others))
    return ask(client, method, request.SerializeToString())[0]


def cancelled(client: Client, random: Random) -> str:
    """Cancel a call early, or give it too little time."""
    call = client.channel.unary_unary(INFER).future(
        valid_request(random).SerializeToString(), timeout=random.choice((60, 0.001, 0.003))
    )
    if random.random() < 0.5:
        call.cancel()
    with contextlib.suppress(grpc.RpcError, grpc.FutureCancelledError):
        call.result()
    return call.code().name


def not_a_message(client: Client, random: Random) -> str:
    """Send bytes that are not a message."""
    return ask(client, INFER, damaged(valid_request(random).SerializeToString(), random))[0]


def not_http2(client: Client, random: Random) -> str:
    """Send to gRPC's port what is not HTTP/2, or frames that are wrong, and hang up."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    frames = (
        b"\0\0\0\4\0\0\0\0\0",
        b"\xff\xff\xff\0\0\0\0\0\1",
        b"\0\0\4\3\0\0\0\0\1\0\0\0\x08" * 50,
        random.randbytes(60),
    )
    with socket.create_connection(client.grpc_address, timeout=60) as connection:
        connection.sendall(random.choice((b"GET / HTTP/1.1\r\n\r\n", preface, b"")) + random.choice(frames))
    return "silence"
