"""The predictor's own Prometheus metrics at /metrics, beside those of KServe, Python and the process."""

import time
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from kserve import metrics as kserve_metrics
from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from distml.protocol.contract import Stage
from distml.publishing.drift import image_intensity
from distml.serving.monitoring.drift_window import DriftWindow
from distml.serving.release.served_version import ServedVersion

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


class Images(Collector):
    """The distributions of images: mean intensities of incoming and training images, and the drift of a window.

    The two histograms of intensities share their buckets, so that a difference between them shows. All methods are for
    the event loop.
    """

    def __init__(self) -> None:
        self._window: DriftWindow | None = None
        # Of the incoming images that are not in the window's own histogram.
        self._histogram, self._sum = image_intensity.histogram(np.empty(0)), 0.0

    def begin(self, version: ServedVersion) -> DriftWindow:
        """Begin an empty window for the version that answers from now on."""
        if self._window:
            self._add(*self._window.intensities())
        self._window = DriftWindow(version)
        return self._window

    def observe(self, version: ServedVersion, images: np.ndarray, probabilities: np.ndarray) -> None:
        """Count a batch that `version` answered, uint8 [n, 28, 28, 1] and float32 [n, classes]."""
        if self._window and self._window.version is version:
            self._window.observe(images, probabilities)
        else:  # another version took over meanwhile
            means = image_intensity.means(images)
            self._add(image_intensity.histogram(means), float(means.sum()))

    def collect(self) -> Iterator[Metric]:
        if self._window is None:
            return
        histogram, total = self._window.intensities()
        yield _histogram("predictor_image_intensity", "incoming", self._histogram + histogram, self._sum + total)
        training = self._window.version.manifest["training_intensity"]
        yield _histogram("predictor_training_image_intensity", "the training", training["counts"], training["sum"])
        look = self._window.look()
        if look.reference is None:
            return
        images = "Images in the window that is compared with the images at publication"
        yield GaugeMetricFamily("predictor_drift_window_images", images, look.window.images)
        distance = "Total variation distance, 0 to 1, of the window from the images at publication"
        p_value = "Probability of such a distance by chance, corrected for features and repeated looks"
        yield _by_feature("predictor_drift_distance", distance, {each.feature: each.distance for each in look.features})
        yield _by_feature("predictor_drift_p_value", p_value, {each.feature: each.p_value for each in look.features})

    def _add(self, histogram: np.ndarray, total: float) -> None:
        self._histogram = self._histogram + histogram
        self._sum += total


def _histogram(name: str, which: str, counts: Any, total: float) -> HistogramMetricFamily:
    edges = [*map(str, image_intensity.EDGES), "+Inf"]
    buckets = list(zip(edges, np.cumsum(counts, dtype=float), strict=True))
    return HistogramMetricFamily(name, f"Mean intensity (0 to 255) of {which} images", buckets, total)


def _by_feature(name: str, documentation: str, values: dict[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, documentation, labels=["feature"])
    for feature, value in values.items():
        family.add_metric([feature], value)
    return family


IMAGES = Images()
REGISTRY.register(IMAGES)


def observe_batch(version: ServedVersion, images: np.ndarray, probabilities: np.ndarray | Exception) -> None:
    """Count a batch that `version` answered, uint8 [n, 28, 28, 1]; the images of a failed one are not counted."""
    BATCH_IMAGES.observe(len(images))
    if not isinstance(probabilities, Exception):
        IMAGES.observe(version, images, probabilities)


def show_model(version: ServedVersion) -> DriftWindow:
    """Show the version that answers and the intensities of its training images; return its window, an empty one."""
    labels = (str(version.number), version.manifest["digest"], version.manifest["model"])
    MODEL.clear()
    MODEL.labels(*labels).set(1)
    return IMAGES.begin(version)


def show_release(number: int, stage: str) -> None:
    """Count a version that reached a stage, and show it as the one that changed its stage last."""
    RELEASES.labels(stage).inc()
    STAGE.clear()
    STAGE.labels(str(number), stage).set(1)
