"""The promises under attack, and the marker that says of a test which promise it attacks, how, and how often."""

import enum
import sys
from typing import NamedTuple

import pytest

PARTS = ("quick", "hour", "night")
# As the number of times: every place that a real run has.
ALL = sys.maxsize


class Promise(enum.StrEnum):
    """The sentences of docs/reliability.md, in its order."""

    KILLED = "A step that is killed anywhere and run again ends as if it had not been killed"
    DAMAGED = "A damaged file is named, and what is intact is used again"
    REFUSED = "A volume that is full or read-only costs one line and nothing that is stored"
    CLOCK = "A clock that jumps changes no result"
    WORKERS = "A fault that a training survives changes no weight"
    AT_ONCE = "Pipelines and publications at the same time do not disturb each other"
    HOSTILE = "No client harms the predictor or other clients"
    SERVING = "No request is lost outside an announced 503"
    SOAK = "The predictor stays as fast and as small as it started"
    CLUSTER = "A workflow survives its controllers, its pods and its end at any step"


class Attack(NamedTuple):
    """The arguments of the marker `attack` of one test.

    Args:
        promise: the promise that the test tries to refute.
        how: the attack, as the page tells it.
        quick: number of times in the part that runs on every landing; 0 means that this part leaves the attack out.
        hour: the same for the part of about an hour, on two cores.
        night: the same for the longest part; 0 means as often as in an hour.
    """

    promise: Promise
    how: str
    quick: int = 0
    hour: int = 0
    night: int = 0

    def times(self, part: str) -> int:
        return self.night or self.hour if part == "night" else int(getattr(self, part))


def attack(promise: Promise, how: str, **times: int) -> pytest.MarkDecorator:
    """Mark a test as an attack; see `Attack`. The test's fixture `times` is the number of times in the part that runs.

    The test calls `record_property("times", made)` with the number of attacks made and `record_property("lost", n)`
    with the number of those that refuted the promise, before it asserts. Each other property is a figure of the page.
    """
    return pytest.mark.attack(Attack(promise, how, **times))
