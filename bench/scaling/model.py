"""An alpha-beta model of the exchange between workers, and of the training step that it is a part of.

A message of m bytes takes delay + alpha + m * (1 / bandwidth + beta) (Hockney 1994): the network's delay and bandwidth,
and what software adds to each message and to each byte. The ways to exchange differ in the messages that wait for each
other and in the bytes that a worker receives (Thakur, Rabenseifner, Gropp 2005; Patarasuk, Yuan 2009):

- A ring of n workers passes n parts around twice: 2 (n - 1) messages in a row, 2 (n - 1) / n of the values.
- A gather passes each worker's values around once: n - 1 messages in a row, n - 1 times the values.

In TensorFlow the receiver asks for each part (RecvBuf). It asks for all parts of a round at once, so only the first
request of an exchange costs a delay: one message more.

alpha and beta are work of a processor. Where n workers share fewer cores, the workers of the fullest core set the pace.
On a link with latency each message also costs omega: the worker that waits for it, and the proxy's timer, wake up late.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

RING, GATHER = "ring", "gather"
# Held out of every fit, as decided before anything was measured.
HELD_OUT_LATENCY_MS = 5
HELD_OUT_WORKERS = 4
MEBIBYTE = 2**20


def way_of(workers: int) -> str:
    """Return the way in which the project exchanges: see src/distml/training/group/mean.py."""
    return GATHER if workers <= 2 else RING


def is_held_out(point: dict[str, Any]) -> bool:
    return point["latency_ms"] >= HELD_OUT_LATENCY_MS or point["workers"] >= HELD_OUT_WORKERS


def messages(way: str, workers: int) -> int:
    """Return how many messages of an exchange wait for each other, the first request included."""
    return 1 + (2 if way == RING else 1) * (workers - 1)


def volume(way: str, workers: int) -> float:
    """Return the bytes that a worker receives in an exchange, as a multiple of the bytes of its values."""
    return 2 * (workers - 1) / workers if way == RING else workers - 1


@dataclass(frozen=True)
class Exchange:
    """The milliseconds that software adds to each message (alpha), byte (beta) and waiting message (omega)."""

    alpha: float
    beta: float
    omega: float

    @classmethod
    def fit(cls, points: Sequence[dict[str, Any]], cores: int) -> "Exchange":
        """Fit to measured points of one way; all points' relative errors have the same weight."""
        measured = np.array([point["milliseconds"] for point in points])
        known = np.array([network_ms(point) for point in points])
        columns = np.array([software_parts(point, cores) for point in points])
        (alpha, beta, omega), *_ = np.linalg.lstsq(columns / measured[:, None], 1 - known / measured)
        return cls(float(alpha), float(beta), float(omega))

    def milliseconds(self, point: dict[str, Any], cores: int | None = None) -> float:
        """Return the time of an exchange; without `cores`, each worker has a core of its own."""
        messages_at_work, bytes_at_work, waiting = software_parts(point, cores or point["workers"])
        return network_ms(point) + self.alpha * messages_at_work + self.beta * bytes_at_work + self.omega * waiting


def software_parts(point: dict[str, Any], cores: int) -> tuple[float, float, float]:
    """Return how often an exchange costs alpha, beta and omega, the work of workers that share a core included."""
    number, busy = messages(point["way"], point["workers"]), sharing(point["workers"], cores)
    size = volume(point["way"], point["workers"]) * point["bytes"]
    return busy * number, busy * size, number if point["latency_ms"] else 0


def network_ms(point: dict[str, Any]) -> float:
    """Return the part of an exchange's time that the network alone needs: delays, and bytes over bandwidth."""
    way, workers, rate = point["way"], point["workers"], point["bytes_per_ms"]
    return messages(way, workers) * point["delay_ms"] + (volume(way, workers) * point["bytes"] / rate if rate else 0.0)


def sharing(workers: int, cores: int) -> int:
    """Return how many workers share the fullest core."""
    return math.ceil(workers / cores)


@dataclass(frozen=True)
class Computation:
    """The milliseconds of a training step without peers: fixed + per_image * images per worker."""

    fixed: float
    per_image: float

    @classmethod
    def fit(cls, points: Sequence[dict[str, Any]]) -> "Computation":
        measured = np.array([point["milliseconds"] for point in points])
        columns = np.array([[1.0, point["batch"]] for point in points])
        (fixed, per_image), *_ = np.linalg.lstsq(columns / measured[:, None], np.ones(len(points)))
        if fixed < 0:  # too little to be seen
            (fixed, (per_image,)) = 0, np.linalg.lstsq(columns[:, 1:] / measured[:, None], np.ones(len(points)))[0]
        return cls(float(fixed), float(per_image))

    def milliseconds(self, batch: float) -> float:
        return self.fixed + self.per_image * batch

    def efficiency(self, batch: float, exchange: float) -> float:
        """Return the speed of a worker in a group over that of a worker alone."""
        return self.milliseconds(batch) / (self.milliseconds(batch) + exchange)

    def batch_for(self, efficiency: float, exchange: float) -> float:
        """Return the images per worker that keep `efficiency` with an exchange of `exchange` ms; at least 1."""
        return max(1.0, (exchange * efficiency / (1 - efficiency) - self.fixed) / self.per_image)


def fits(measured: dict[str, Any]) -> tuple[dict[str, Exchange], Computation]:
    """Return the fitted model of each way to exchange, and of the computation."""
    training = [point for point in measured["exchanges"] if not is_held_out(point)]
    ways = {
        way: Exchange.fit([point for point in training if point["way"] == way], measured["cores"])
        for way in (RING, GATHER)
    }
    return ways, Computation.fit(measured["alone"])
