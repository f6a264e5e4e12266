"""The comparison of a version on trial with the trusted version, on the same images."""

import statistics
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distml.publishing.versions import reference_images
from distml.publishing.versions.reference_images import ReferenceImages
from distml.publishing.versions.version_files import AGREEMENT, REFERENCE
from distml.serving.release.served_version import ServedVersion

# Images that both versions classify at a time; a request waits at most that long more: two or three milliseconds if
# the candidate is within the bound.
IMAGES_AT_A_TIME = 16
# Engine times of the last pairs decide, and only once there are enough of them.
LAST_PAIRS, FEWEST_PAIRS = 50, 20
# A version that is slower than so many times the bound in each of its first pairs needs no more: requests wait for it.
FAR_BEYOND, FEWEST_PAIRS_FAR_BEYOND = 2, 3


class Rejected(Exception):
    """The version on trial is not good enough; the message is a sentence about it."""


class ImagesAtFault(Exception):
    """Both versions fail on the images, so these are at fault."""


@dataclass(frozen=True)
class Bounds:
    """The bounds of a trial.

    Attributes:
        max_accuracy_loss: how far below the trusted version's accuracy the new one's may be, 0 to 1.
        max_recall_loss: the same for the recall of each class.
        max_slowdown: how many times the trusted version's engine time the new one may take.
        shadow_seconds: longest duration of the shadow stage.
        probation_seconds: duration of the probation.
    """

    max_accuracy_loss: float
    max_recall_loss: float
    max_slowdown: float
    shadow_seconds: float
    probation_seconds: float


class Comparison:
    """The comparison of two versions. All methods but `classify_both` are for the event loop."""

    def __init__(self, trusted: ServedVersion, candidate: ServedVersion, bounds: Bounds):
        self._trusted = trusted
        self._candidate = candidate
        self._bounds = bounds
        self._ratios: deque[float] = deque(maxlen=LAST_PAIRS)
        self._calls = 0
        # Duration of the last call of `classify_both`.
        self.seconds = 0.0

    @property
    def slowdown(self) -> float | None:
        """The median of candidate's engine time by trusted version's; None before `FEWEST_PAIRS` pairs."""
        return statistics.median(self._ratios) if len(self._ratios) >= FEWEST_PAIRS else None

    def classify_both(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Classify images with both versions, one after the other in alternating order; for the engine's thread.

        The engines get `IMAGES_AT_A_TIME` images, repeated ones if there are fewer: an engine that has to change the
        size of its batch takes longer. The time is that of the processor in this thread: waiting for other processes or
        for the interpreter's lock does not count.

        Args:
            images: uint8 [n, 28, 28, 1], at most `IMAGES_AT_A_TIME`.

        Returns:
            The probabilities of the trusted version and of the candidate, float32 [n, classes]. If the trusted version
            fails, its probabilities are NaN.

        Raises:
            Rejected: the candidate fails on images that the trusted version classifies.
            ImagesAtFault: both fail.
        """
        repeated = np.resize(images, (IMAGES_AT_A_TIME, *images.shape[1:]))
        self._calls += 1
        order = 1 if self._calls % 2 else -1
        started = time.perf_counter()
        runs = [_timed(version, repeated) for version in (self._trusted, self._candidate)[::order]]
        self.seconds = time.perf_counter() - started
        (trusted, seconds_before), (candidate, seconds) = runs[::order]
        if isinstance(candidate, Exception):
            if isinstance(trusted, Exception):
                raise ImagesAtFault(one_line(candidate)) from candidate
            message = f"it fails on images that version {self._trusted.number} classifies: {one_line(candidate)}"
            raise Rejected(message) from candidate
        if isinstance(trusted, Exception):
            trusted = np.full_like(candidate, np.nan)
        elif seconds_before > 0:
            self._ratios.append(seconds / seconds_before)
        return trusted[: len(images)], candidate[: len(images)]

    def check_time(self) -> None:
        """Raise Rejected if the candidate's engine time is beyond the bound, or early on far beyond it."""
        slowdown, bound = self.slowdown, self._bounds.max_slowdown
        if slowdown is None and len(self._ratios) >= FEWEST_PAIRS_FAR_BEYOND and min(self._ratios) > FAR_BEYOND * bound:
            slowdown = min(self._ratios)
        if slowdown is not None and slowdown > bound:
            raise Rejected(
                f"its engine takes {slowdown:.2f} times as long per image as version {self._trusted.number}'s; at"
                f" most {bound:g} times is allowed"
            )

    def check_classes(self) -> None:
        """Raise Rejected if the versions have different classes, whose answers cannot be compared."""
        if self._candidate.class_names != self._trusted.class_names:
            raise Rejected(
                f"its classes differ from those of version {self._trusted.number}, so their answers cannot be compared"
            )

    def check_answers(self, reference: ReferenceImages, trusted: np.ndarray, candidate: np.ndarray) -> None:
        """Compare the answers to the candidate's reference images with those stored and with the trusted version's.

        Args:
            reference: the candidate's reference images.
            trusted: the trusted version's probabilities, float32 [n, classes].
            candidate: the candidate's probabilities, float32 [n, classes].

        Raises:
            Rejected: the candidate is not what was published, or loses more than the bounds.
        """
        if candidate.shape != reference.probabilities.shape:
            raise Rejected("its stored answers to its reference images have another shape than its answers")
        difference = float(np.abs(candidate - reference.probabilities).max())
        if not difference <= AGREEMENT:
            raise Rejected(
                f"its answers to its reference images differ from those at publication by {difference:.2g}, more than"
                f" {AGREEMENT:g}"
            )
        right = candidate.argmax(axis=1) == reference.labels
        # Of NaN, argmax would return class 0.
        right_before = (trusted.argmax(axis=1) == reference.labels) & np.isfinite(trusted).all(axis=1)
        self._check_loss("accuracy", right, right_before, self._bounds.max_accuracy_loss)
        for label in np.unique(reference.labels):
            of_class = reference.labels == label
            name = f"recall of {self._candidate.class_names[label]}"
            self._check_loss(name, right[of_class], right_before[of_class], self._bounds.max_recall_loss)

    def _check_loss(self, name: str, right: np.ndarray, right_before: np.ndarray, bound: float) -> None:
        now, before = float(right.mean()), float(right_before.mean())
        if before - now > bound + 1e-9:  # 0.92 - 0.9 is a little more than 0.02
            raise Rejected(
                f"its {name} on {len(right):,} reference images is {now:.3f}, {before - now:.3f} below version"
                f" {self._trusted.number}'s {before:.3f}; at most {bound:g} may be lost"
            )


def _timed(version: ServedVersion, images: np.ndarray) -> tuple[np.ndarray | Exception, float]:
    """Return the version's probabilities, or its error, and the seconds of processor time that this thread spent.

    A probability that is not a number is an error too.
    """
    started = time.thread_time()
    try:
        answer: np.ndarray | Exception = version.classify(images)
    except Exception as error:
        answer = error
    seconds = time.thread_time() - started
    if not isinstance(answer, Exception) and not np.isfinite(answer).all():
        answer = ValueError("a probability is not a number")
    return answer, seconds


def one_line(error: Exception) -> str:
    """Return the message of an engine's error as one short line."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def read_reference(folder: Path, version: ServedVersion) -> ReferenceImages:
    """Read a version's reference images.

    Raises:
        StepError: they are missing or malformed.
        Rejected: a label is not that of a class.
    """
    reference = reference_images.read(folder, version.manifest["files"].get(REFERENCE, ""))
    if not (reference.labels.min() >= 0 and reference.labels.max() < len(version.class_names)):
        raise Rejected("its reference images have labels without a class")
    return reference
