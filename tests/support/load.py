"""Requests that keep arriving at a predictor, for tests of what must not disturb them."""

import json
import threading
from collections import Counter

import numpy as np

from support.predictor_process import PREDICT, Predictor

RARE_EVERY = 100
SENDERS = 3


def body_of(image: np.ndarray) -> bytes:
    """Return a V1 request with one image, uint8 [28, 28]."""
    return json.dumps({"instances": [image.tolist()]}).encode()


BODY = body_of(np.zeros((28, 28), np.uint8))


class Load:
    """Requests one after another on each of `SENDERS` threads; `outcomes` counts them by status and version.

    If `rare` is set, every hundredth request has this body, and `rare_outcomes` counts these a second time.
    """

    def __init__(self, server: Predictor, rare: bytes | None = None) -> None:
        self.rare = rare
        self.outcomes: Counter = Counter()
        self.rare_outcomes: Counter = Counter()
        self._sent = 0
        self._counting = threading.Lock()
        self._stop = threading.Event()
        self._server = server
        self._threads = [threading.Thread(target=self._send) for _ in range(SENDERS)]

    def _send(self) -> None:
        while not self._stop.is_set():
            with self._counting:
                self._sent += 1
                rare = self.rare if self._sent % RARE_EVERY == 0 else None
            try:
                status, answer = self._server.post(PREDICT, rare or BODY)
                outcome: tuple[object, str | None] = status, answer.get("model_version")
            except OSError as error:
                outcome = type(error).__name__, None
            with self._counting:
                self.outcomes[outcome] += 1
                if rare:
                    self.rare_outcomes[outcome] += 1

    def wait_for(self, more: int) -> None:
        """Wait until `more` further requests have an outcome."""
        goal = self.outcomes.total() + more
        self._server.wait(lambda: self.outcomes.total() >= goal, f"at {goal} requests")

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
