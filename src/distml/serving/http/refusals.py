"""Refusals: answers other than 200, all of the same shape, {"error": "one sentence"}."""

import orjson

from distml.protocol.contract import BadInput
from distml.serving.admission import Overloaded
from distml.serving.monitoring import event_log
from distml.serving.release.served_version import NotServed, TakenBack


class Refusal(Exception):
    """An answer other than 200: its status, the outcome for the metrics, a message for the client, and headers."""

    def __init__(self, status: int, outcome: str, message: str, **headers: str):
        super().__init__(message)
        self.status = status
        self.outcome = outcome
        self.headers = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]


def body(sentence: str) -> bytes:
    """Return the body of a refusal, as JSON."""
    return orjson.dumps({"error": sentence})


class HungUp(Exception):
    """The client hung up before its whole request arrived."""


def refusal_of(error: Exception) -> Refusal:
    """Return the answer to a request that raised `error`."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, BadInput):
        return Refusal(400, "bad input", str(error))
    if isinstance(error, NotServed):
        return Refusal(404, "not found", str(error))
    if isinstance(error, Overloaded):
        return Refusal(503, "overloaded", "too many requests are waiting; retry in a second", retry_after="1")
    if isinstance(error, TakenBack):
        return Refusal(503, "taken back", str(error), retry_after="1")
    event_log.failure("a request failed")
    return Refusal(500, "failed", "the server failed to answer; its log has the reason")


def shown(path: str) -> str:
    """Return a path as a refusal shows it: a client may send one of 60,000 characters."""
    printable = "".join(character if character.isprintable() else "?" for character in path[:200])
    return printable if len(path) <= 200 else f"{printable}…"
