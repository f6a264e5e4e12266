"""The predictor's own Prometheus metrics at /metrics, beside those of KServe, Python and the process."""

import time
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from kserve import metrics as kserve_metrics
from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from distml.protocol.contract import Stage
from distml.publishing.drift import image_intensity

REQUESTS = Counter("predictor_requests", "Requests by protocol and outcome", ["protocol", "outcome"])
IN_FLIGHT = Gauge("predictor_requests_in_flight", "Requests in progress")
SECONDS = Histogram(
    "predictor_request_seconds",
    "Seconds from the first byte of a request's body to its answer",
    ["protocol"],
    buckets=(0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1, 2, 4),
)
BATCH_IMAGES = Histogram("predictor_batch_images", "Images per batch", buckets=(1, 2, 4, 8, 16, 32, 64, 128))
MODEL = Gauge("predictor_model_info", "The published version that answers", ["version", "digest", "model"])
REFUSED = Counter("predictor_versions_refused", "Published versions refused because they are damaged or answer wrongly")
RELEASES = Counter("predictor_releases", "Versions that reached a stage of their release", ["stage"])
STAGE = Gauge("predictor_release_stage", "The version that changed its stage last", ["version", "stage"])
# Prometheus sees no increase in a counter's first value, so the counters that raise an alert start at 0.
for labels in product(("v1", "v2", "grpc"), ("failed", "overloaded", "taken back")):
    REQUESTS.labels(*labels)
RELEASES.labels(Stage.REJECTED)


class Request:
    """The count and the time of one request, as a context manager; the caller sets `outcome` if it is not "ok"."""

    def __init__(self, protocol: str):
        self.protocol = protocol
        self.outcome = "ok"

    def __enter__(self) -> "Request":
        IN_FLIGHT.inc()
        self._started = time.perf_counter()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        IN_FLIGHT.dec()
        outcome = "failed" if kind and self.outcome == "ok" else self.outcome
        REQUESTS.labels(self.protocol, outcome).inc()
        SECONDS.labels(self.protocol).observe(time.perf_counter() - self._started)


class Stages:
    """KServe's histograms of the seconds that answered requests take, which KServe itself fills for its own routes."""

    def __init__(self, model_name: str):
        labels = kserve_metrics.get_labels(model_name)
        histograms = (kserve_metrics.PRE_HIST_TIME, kserve_metrics.PREDICT_HIST_TIME, kserve_metrics.POST_HIST_TIME)
        self._reading, self._classifying, self._writing = (each.labels(**labels) for each in histograms)

    def observe(self, reading: float, classifying: float, writing: float) -> None:
        """Count one request by the seconds of its stages."""
        self._reading.observe(reading)
        self._classifying.observe(classifying)
        self._writing.observe(writing)


class Intensities(Collector):
    """Two histograms of the mean intensity, 0 to 255, of images: incoming images and training images.

    They share their buckets, so that a drift between them shows.
    """

    def __init__(self) -> None:
        self._incoming = np.zeros(len(image_intensity.EDGES) + 1, np.int64)
        self._sum = 0.0
        self.training: dict[str, Any] = {"counts": np.zeros_like(self._incoming), "sum": 0.0}

    def observe(self, images: np.ndarray) -> None:
        """Count a batch of images, uint8 [n, 28, 28, 1]; call it from one thread only."""
        means = image_intensity.means(images)
        self._incoming += image_intensity.histogram(means)
        self._sum += float(means.sum())

    def collect(self) -> Iterator[HistogramMetricFamily]:
        yield _histogram("predictor_image_intensity", "of incoming images", self._incoming, self._sum)
        yield _histogram(
            "predictor_training_image_intensity",
            "of the training images",
            self.training["counts"],
            self.training["sum"],
        )


def _histogram(name: str, of_images: str, counts: Any, total: float) -> HistogramMetricFamily:
    edges = [*map(str, image_intensity.EDGES), "+Inf"]
    buckets = list(zip(edges, np.cumsum(counts, dtype=float), strict=True))
    return HistogramMetricFamily(name, f"Mean intensity (0 to 255) {of_images}", buckets, total)


INTENSITIES = Intensities()
REGISTRY.register(INTENSITIES)


def observe_batch(images: np.ndarray) -> None:
    BATCH_IMAGES.observe(len(images))
    INTENSITIES.observe(images)


def show_model(number: int, manifest: dict[str, Any]) -> None:
    """Show the version that answers, and the intensities of its training images."""
    labels, intensity = (str(number), manifest["digest"], manifest["model"]), manifest["training_intensity"]
    MODEL.clear()
    MODEL.labels(*labels).set(1)
    INTENSITIES.training = intensity


def show_release(number: int, stage: str) -> None:
    """Count a version that reached a stage, and show it as the one that changed its stage last."""
    RELEASES.labels(stage).inc()
    STAGE.clear()
    STAGE.labels(str(number), stage).set(1)
