"""Mixed requests of several clients that keep arriving, and what became of them."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

from distml.model import saved_model
from support.hostile import body_kinds, documents, grpc_kinds
from support.hostile.client import Answer, Client
from support.predictor_process import INFER, PREDICT, Predictor
from support.predictor_requests import IMAGES

SEED = 20
CLIENTS = 4
# Of each client, in seconds: a load that leaves the processor idle at times.
BETWEEN_REQUESTS = 0.04
# An announced refusal, which a client may repeat.
ANNOUNCED = "503"


def classes_of(version: Path) -> list[int]:
    """Return the classes that the SavedModel of a version finds in `IMAGES`."""
    model, _ = saved_model.load(version)
    return model.signatures["serving_arrays"](images=IMAGES)["probabilities"].numpy().argmax(axis=1).tolist()


def ask(client: Client, random: Random, classes: list[int]) -> Answer:
    """Send a valid request in one of the forms of either protocol; return its answer, or an announced 503.

    A 503 without Retry-After announces nothing: it has no classes, and counts as a fault.
    """
    path, forms = random.choice(((PREDICT, documents.V1_FORMS), (INFER, documents.V2_FORMS)))
    answer = client.post(path, documents.dump(random.choice(forms)))
    announced = str(answer.status) == ANNOUNCED and "retry-after" in answer.headers
    return answer if announced else body_kinds.with_classes(answer, classes)


class MixedLoad:
    """Requests of several clients, each with one request at a time.

    Args:
        server: the predictor.
        classes: those of `IMAGES`, with which valid requests have to be answered.
        wrong: whether every seventh request is wrong.
    """

    def __init__(self, server: Predictor, classes: list[int], wrong: bool = False):
        valid, valid_grpc = partial(ask, classes=classes), partial(grpc_kinds.valid, classes=classes)
        # Each kind of request, its share, and the statuses that it may get.
        self._kinds: list[tuple[Callable, int, str]] = [(valid, 70, f"200 {ANNOUNCED}"), (valid_grpc, 15, "OK")]
        if wrong:
            self._kinds += [
                (body_kinds.wrong_v1, 4, "200 400"),
                (body_kinds.damaged_json, 4, "200 400"),
                (body_kinds.wrong_v2_binary, 2, "200 400"),
                (grpc_kinds.wrong, 5, "OK INVALID_ARGUMENT NOT_FOUND"),
            ]
        self._server = server
        self.statuses: Counter[str] = Counter()
        self.faults: list[str] = []
        # Of each valid request, in their order.
        self.seconds: list[float] = []
        self._ended = threading.Event()
        self._counting = threading.Lock()
        self._threads = [threading.Thread(target=self._send, args=[number]) for number in range(CLIENTS)]

    def _send(self, number: int) -> None:
        random, client = Random(f"{SEED} {number}"), Client(self._server)
        shares = [share for _, share, _ in self._kinds]
        while not self._ended.is_set():
            kind, _, expected = random.choices(self._kinds, shares)[0]
            started = time.monotonic()
            try:
                answer = kind(client, random)
                status = str(answer.status) if isinstance(answer, Answer) else answer
                fault = "" if status in expected.split() else f"status {status}"
            except Exception as error:  # whatever it is, this request has no right answer
                status, fault = "none", f"{type(error).__name__}: {error}"
                client.close()
                client = Client(self._server)
            seconds = time.monotonic() - started
            with self._counting:
                self.statuses[status] += 1
                if fault:
                    self.faults.append(f"{getattr(kind, '__name__', 'valid')}: {fault}")
                if isinstance(kind, partial):
                    self.seconds.append(seconds)
            time.sleep(max(BETWEEN_REQUESTS - seconds, 0))
        client.close()

    def __enter__(self) -> "MixedLoad":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
