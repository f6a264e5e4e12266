"""Twenty thousand requests of all kinds, in an order that a seed determines."""

import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any, NamedTuple

from distml.step.text_table import table
from support.hostile import body_kinds, documents, files, grpc_kinds, http_kinds
from support.hostile.body_kinds import body, gzip_body, image
from support.hostile.client import Answer, Client, Malformed
from support.predictor_process import Predictor

CLIENTS = 6
MEBIBYTE = 2**20
OK, REFUSED, EITHER = "200", "400", "200 400"


class Kind(NamedTuple):
    """Some requests of one kind: their number, the function that sends one, and the statuses that it may get."""

    name: str
    number: int
    send: Callable[[Client, Random], Any]
    statuses: str


def kinds(classes: list[int]) -> list[Kind]:
    """Return all kinds; the valid requests have to be answered with `classes`."""
    valid = partial(body_kinds.valid, classes=classes)
    valid_grpc = partial(grpc_kinds.valid, classes=classes)
    compressed = partial(body_kinds.compressed, classes=classes)
    lost = "200 204 400 404 405"
    return [
        Kind("valid V1 or V2", 2600, valid, OK),
        Kind("valid gzip", 400, compressed, OK),
        Kind("valid gRPC", 700, valid_grpc, "OK"),
        Kind("V1 with a wrong part", 2600, body_kinds.wrong_v1, EITHER),
        Kind("V2 with a wrong part", 2000, body_kinds.wrong_v2, EITHER),
        Kind("V2 binary with a wrong part", 1000, body_kinds.wrong_v2_binary, EITHER),
        Kind("damaged JSON", 1500, body_kinds.damaged_json, EITHER),
        Kind("damaged base64", 700, body_kinds.damaged_base64, EITHER),
        Kind("not JSON", 600, body(documents.not_json), REFUSED),
        Kind("deeply nested JSON", 400, body(documents.nested), REFUSED),
        Kind("JSON with too many values", 40, body(documents.many_values), REFUSED),
        Kind("damaged image", 800, image(files.damaged_image), EITHER),
        Kind("image of another format", 300, image(files.other_format), REFUSED),
        Kind("PNG that announces too much", 250, image(files.announcing_png), REFUSED),
        Kind("JPEG that announces too much", 100, image(files.announcing_jpeg), REFUSED),
        Kind("PNG that swells", 80, image(files.swollen_png), EITHER),
        Kind("largest PNG", 6, image(files.largest_png), OK),
        Kind("JPEG of many scans", 60, image(files.many_scans), REFUSED),
        Kind("wrong gzip", 400, gzip_body(files.bad_gzip), REFUSED),
        Kind("gzip bomb", 60, gzip_body(files.gzip_bomb), "400 413"),
        Kind("other coding", 100, body_kinds.other_coding, "415"),
        Kind("h2c offers", 450, http_kinds.offer, OK),
        Kind("pipelined", 250, http_kinds.pipeline, OK),
        Kind("odd paths and methods", 1400, http_kinds.odd_path, lost),
        Kind("CONNECT", 60, http_kinds.connect, "400 404 405"),
        Kind("odd headers", 300, http_kinds.odd_headers, EITHER),
        Kind("broken headers", 200, http_kinds.broken_headers, REFUSED),
        Kind("wrong Content-Length", 250, http_kinds.wrong_length, REFUSED),
        Kind("wrong chunks", 250, http_kinds.wrong_chunks, "400 silence"),
        Kind("framed in two ways", 300, http_kinds.smuggling, REFUSED),
        Kind("not HTTP", 200, http_kinds.not_http, f"{lost} silence"),
        Kind("early hang-up", 600, http_kinds.hang_up, "silence"),
        Kind("slow", 24, http_kinds.slow, OK),
        Kind("gRPC with a wrong part", 500, grpc_kinds.wrong, "OK INVALID_ARGUMENT NOT_FOUND"),
        Kind("gRPC, not a message", 150, grpc_kinds.not_a_message, "OK INVALID_ARGUMENT NOT_FOUND UNKNOWN"),
        Kind(
            "gRPC, another method", 150, grpc_kinds.other_method, "OK INVALID_ARGUMENT NOT_FOUND UNIMPLEMENTED UNKNOWN"
        ),
        Kind("gRPC, cancelled", 150, grpc_kinds.cancelled, "OK CANCELLED DEADLINE_EXCEEDED"),
        Kind("gRPC, too large", 20, grpc_kinds.too_large, "INVALID_ARGUMENT RESOURCE_EXHAUSTED"),
        Kind("not gRPC", 50, grpc_kinds.not_http2, "silence"),
    ]


class Traffic:
    """All requests, in an order that the seed determines; several clients send them."""

    def __init__(self, all_kinds: list[Kind], seed: int):
        self._seed = seed
        self.outcomes: dict[str, Counter[str]] = {kind.name: Counter() for kind in all_kinds}
        self.ended: Counter[str] = Counter()
        self.faults: list[str] = []
        requests = [kind for kind in all_kinds for _ in range(kind.number)]
        Random(seed).shuffle(requests)
        self._requests = enumerate(requests)
        self._lock = threading.Lock()

    def send_all(self, server: Predictor) -> list[float]:
        """Send all requests from `CLIENTS` clients; return the predictor's resident memory meanwhile, in MiB."""
        clients = [threading.Thread(target=self._send, args=[server]) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        memory = [0.0]
        while any(client.is_alive() for client in clients):
            memory.append(server.metric("process_resident_memory_bytes") / MEBIBYTE)
            clients[0].join(0.2)
        return memory

    def _send(self, server: Predictor) -> None:
        """Send requests until none is left; keep each fault with the number of its request."""
        client = Client(server)
        while item := self._next():
            number, kind = item
            try:
                statuses = _statuses(kind.send(client, Random(f"{self._seed} {number}")))
                wrong = set(statuses) - {*kind.statuses.split(), "503", "UNAVAILABLE"}
                if wrong:
                    raise Malformed(f"status {wrong}")
            except Exception as fault:
                statuses = ["fault"]
                self.faults.append(f"request {number}, {kind.name}: {type(fault).__name__}: {fault}")
                client.close()
                client = Client(server)
            with self._lock:
                self.ended[kind.name] += 1
                self.outcomes[kind.name].update(statuses)
        client.close()

    def _next(self) -> tuple[int, Kind] | None:
        with self._lock:
            return next(self._requests, None)


def _statuses(outcome: Any) -> list[str]:
    answers = outcome if isinstance(outcome, list) else [outcome]
    return [str(answer.status) if isinstance(answer, Answer) else answer for answer in answers] or ["silence"]


def summary(outcomes: dict[str, Counter[str]]) -> str:
    """Format the numbers of requests, by kind and status."""
    found = sorted({status for counts in outcomes.values() for status in counts})
    rows = [("kind", *found)]
    rows += [(name, *(str(counts[status] or "") for status in found)) for name, counts in outcomes.items()]
    return table(rows)
