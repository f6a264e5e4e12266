"""Kinds of HTTP requests with hostile bodies; each function sends one, and returns its answer."""

import base64
import json
from collections.abc import Callable
from random import Random
from typing import Any

from support.hostile import documents, files
from support.hostile.client import Answer, Client, Malformed
from support.predictor_process import INFER, PREDICT
from support.predictor_requests import IMAGES

# Paths under which the served version answers V1.
V1_PATHS = (
    PREDICT,
    f"{PREDICT}/",
    *(f"/v1/models/flower-sample/{way}:predict" for way in ("versions/1", "labels/stable")),
)


def valid(client: Client, random: Random, classes: list[int]) -> Answer:
    """Send a valid request in one of the forms, and compare the classes in its answer."""
    is_v1 = random.random() < 0.6
    body = documents.dump(random.choice(documents.V1_FORMS if is_v1 else documents.V2_FORMS))
    path = random.choice(V1_PATHS) if is_v1 else INFER
    if random.random() < 0.4:
        half = len(body) // 2
        content: Any = random.choice((body, iter([body[:half], body[half:]])))
        answer = client.post_by_library(path, content)
    else:
        answer = client.post(path, body)
    return with_classes(answer, classes)


def with_classes(answer: Answer, classes: list[int]) -> Answer:
    """Return `answer` if it has these classes, and raise Malformed otherwise."""
    document = json.loads(answer.body)
    found: Any
    if "predictions" in document:
        found = [row["class_index"] for row in document["predictions"]]
    elif "model_version" in document and isinstance(document.get("outputs"), dict):
        found = document["outputs"]["class_index"]
    else:
        outputs = {output["name"]: output["data"] for output in document.get("outputs", [])}
        found = outputs.get("class_index")
    if found != classes:
        raise Malformed(f"expected the classes {classes}: {answer.status} {answer.body[:300]!r}")
    return answer


def compressed(client: Client, random: Random, classes: list[int]) -> Answer:
    return with_classes(client.post(PREDICT, files.valid_gzip(random), b"Content-Encoding: gzip"), classes)


def wrong_v1(client: Client, random: Random) -> Answer:
    return client.post(PREDICT, documents.dump(documents.with_a_wrong_part(random.choice(documents.V1_FORMS), random)))


def wrong_v2(client: Client, random: Random) -> Answer:
    return client.post(INFER, documents.dump(documents.with_a_wrong_part(random.choice(documents.V2_FORMS), random)))


def wrong_v2_binary(client: Client, random: Random) -> Answer:
    """Send a binary tensor with a wrong length, or a wrong part in its JSON."""
    tensor = {"name": "images", "datatype": "UINT8", "shape": [3, 28, 28, 1]}
    content = IMAGES.tobytes()
    if random.random() < 0.5:
        tensor = {"name": "image_bytes", "datatype": "BYTES", "shape": [3]}
        content = b"".join(len(file).to_bytes(4, "little") + file for file in documents.FILES)
        content = documents.damaged(content, random)
    size = random.choice((len(content), 0, -1, 2**70, len(content) + 1, "9", None))
    head: Any = {"inputs": [tensor | {"parameters": {"binary_data_size": size}}]}
    if random.random() < 0.5:
        head = documents.with_a_wrong_part(head, random)
    text = documents.dump(head)
    length = random.choice((len(text), len(text), 0, len(text) + 1, 10**9, -1, "x", "", "²", "1,2"))
    return client.post(INFER, text + content, b"Inference-Header-Content-Length: " + str(length).encode())


def damaged_json(client: Client, random: Random) -> Answer:
    forms = documents.V1_FORMS + documents.V2_FORMS
    body = documents.damaged(documents.dump(random.choice(forms)), random)
    return client.post(random.choice((PREDICT, INFER)), body)


def damaged_base64(client: Client, random: Random) -> Answer:
    """Send a row whose base64 is damaged, but whose JSON is not."""
    text = documents.damaged(random.choice(documents.TEXTS).encode(), random).decode("latin-1")
    return client.post(PREDICT, documents.dump({"instances": [{"b64": text}]}))


def body(make: Callable[[Random], bytes]) -> Callable[[Client, Random], Answer]:
    """Return a function that sends the body that `make` returns, as V1 or V2."""
    return lambda client, random: client.post(random.choice((PREDICT, INFER)), make(random))


def gzip_body(make: Callable[[Random], bytes]) -> Callable[[Client, Random], Answer]:
    """Return a function that sends what `make` returns as gzip data."""
    return lambda client, random: client.post(PREDICT, make(random), b"Content-Encoding: gzip")


def image(make: Callable[[Random], bytes]) -> Callable[[Client, Random], Answer]:
    """Return a function that sends the image file that `make` returns."""

    def send(client: Client, random: Random) -> Answer:
        text = base64.b64encode(make(random)).decode()
        if random.random() < 0.5:
            return client.post(PREDICT, documents.dump({"instances": [{"b64": text}]}))
        return client.post(INFER, documents.dump({"inputs": [documents.V2_FILES | {"shape": [1], "data": [text]}]}))

    return send


def other_coding(client: Client, random: Random) -> Answer:
    codings = (b"br", b"zstd", b"gzip, gzip", b"compress", b"*", b"gzip;q=1", b"\xff", b"aws-chunked")
    return client.post(PREDICT, files.valid_gzip(random), b"Content-Encoding: " + random.choice(codings))
