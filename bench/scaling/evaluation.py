"""The model's error at the measured points, and its predictions for groups that were not measured."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scaling import model
from scaling.model import GATHER, RING

TARGET = (0.85, 1.15)  # predicted over measured
EFFICIENCY = 0.9
WORKERS = (2, 4, 8, 16, 32, 64)
BATCHES = (64, 256)  # per worker
# One-way latency in ms, Mbit/s: about those of one rack, of two zones, of two regions.
LINKS = ((0.05, 10_000), (1, 1_000), (5, 100))
WORKER_LIMIT = 1536  # MiB: the memory limit of a worker in multi-worker-tfjob.yaml and workflow.yaml
Point = dict[str, Any]


def evaluate(measured: dict[str, Any]) -> dict[str, Any]:
    """Fit the model to the measured points; return its parameters, its error at each point, and its predictions."""
    ways, computation = model.fits(measured)
    exchanges = [
        compare(point, ways[point["way"]].milliseconds(point, measured["cores"]), held_out=model.is_held_out(point))
        for point in measured["exchanges"]
    ]
    size = bytes_of(measured)
    whole = [
        compare(point, computation.milliseconds(point["batch"]) + ways[GATHER].milliseconds(exchange, 2))
        for point in measured["whole"]
        for exchange in [{**point, "way": GATHER, "workers": 2, "bytes": size}]
    ]
    return {
        "exchange": {
            way: {
                "ms_per_message": round(fit.alpha, 4),
                "ms_per_megabyte": round(1e6 * fit.beta, 4),
                "ms_per_waiting_message": round(fit.omega, 4),
            }
            for way, fit in ways.items()
        },
        "computation": {"fixed_ms": round(computation.fixed, 3), "ms_per_image": round(computation.per_image, 5)},
        "exchanges": exchanges,
        "alone": [compare(point, computation.milliseconds(point["batch"])) for point in measured["alone"]],
        "whole": whole,
        "memory": memory(measured["memory"]),
        "bytes": size,
        "growth": list(growth(ways, computation, size, LINKS)),
    }


def compare(point: Point, predicted: float, **more: Any) -> Point:
    """Return the point with the prediction and its ratio to the measured time."""
    return {**point, "predicted": round(predicted, 3), "ratio": round(predicted / point["milliseconds"], 3), **more}


def memory(points: list[Point]) -> dict[str, float]:
    """Fit a worker's peak memory as a line over its images; return it, and the images that fit the worker's limit."""
    slope, fixed = np.polyfit([point["images"] for point in points], [point["mebibytes"] for point in points], 1)
    return {
        "fixed_mib": round(float(fixed), 1),
        "bytes_per_image": round(slope * model.MEBIBYTE),
        "limit_mib": WORKER_LIMIT,
        "images_at_the_limit": int((WORKER_LIMIT - fixed) / slope),
    }


def growth(
    ways: dict[str, model.Exchange], computation: model.Computation, size: int, links: Sequence[tuple[float, float]]
) -> Iterator[Point]:
    """Predict groups of 2 to 64 workers, each worker with a core of its own, by both ways to exchange.

    Args:
        ways: the model of each way to exchange.
        computation: the model of a training step without peers.
        size: bytes that a worker contributes to an exchange.
        links: one-way latency in ms, Mbit/s.
    """
    for latency, megabits in links:
        for workers in WORKERS:
            link = {"latency_ms": latency, "delay_ms": latency, "bytes_per_ms": megabits * 125}
            point = {**link, "workers": workers, "bytes": size}
            times = {way: ways[way].milliseconds({**point, "way": way}) for way in (RING, GATHER)}
            taken = times[model.way_of(workers)]
            yield {
                "latency_ms": latency,
                "megabits": megabits,
                "workers": workers,
                "exchange_ms": round(taken, 2),
                **{f"{way}_ms": round(time, 2) for way, time in times.items()},
                **{f"efficiency_{batch}": round(computation.efficiency(batch, taken), 3) for batch in BATCHES},
                "batch": math.ceil(computation.batch_for(EFFICIENCY, taken)),
            }


def growth_on(measured: dict[str, Any], link: tuple[float, float]) -> list[Point]:
    """Predict groups of 2 to 64 workers on a network of this one-way latency in ms and this rate in Mbit/s."""
    ways, computation = model.fits(measured)
    return list(growth(ways, computation, bytes_of(measured), [link]))


def bytes_of(measured: dict[str, Any]) -> int:
    """Return the bytes that a worker contributes to the exchange of a training step."""
    return max(point["bytes"] for point in measured["exchanges"])


def misses(points: list[Point]) -> list[Point]:
    """Return the points that the model predicts outside `TARGET`."""
    return [point for point in points if not TARGET[0] <= point["ratio"] <= TARGET[1]]
