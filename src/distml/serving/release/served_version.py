"""A published version as the predictor uses it: verified, loaded, and tested with its golden request."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from distml.model import manifest as model_manifest
from distml.model.lite_engine import LiteEngine
from distml.protocol import v1
from distml.protocol.contract import FILES
from distml.publishing.drift import image_intensity
from distml.publishing.versions import signature
from distml.publishing.versions.version_files import AGREEMENT, GOLDEN, LITE_MODEL
from distml.step import outcome
from distml.step.volume import read_small


@dataclass(frozen=True)
class ServedVersion:
    """A version that is ready to answer. Only one thread at a time may call `classify`, as with LiteEngine.

    `samples` are the images of its golden request, one of each class in the order of the indices: PNG files in base64.
    """

    number: int
    manifest: dict[str, Any]
    classify: Callable[[np.ndarray], np.ndarray]
    samples: list[str] = field(default_factory=list)

    @property
    def class_names(self) -> list[str]:
        return self.manifest["class_names"]


class NotServed(Exception):
    """The request names a model, version or label that is not served; the message is one sentence for its sender."""


def check_version(wanted: str | None, served: ServedVersion) -> None:
    """Raise NotServed if the request wants a version other than the served one."""
    if wanted and wanted != str(served.number):
        raise NotServed(f"version {wanted[:20]} is not served; version {served.number} is")


class TakenBack(Exception):
    """The version that a request names stopped answering while the request waited; the message is one sentence."""


def check_answered_by(wanted: str | None, served: ServedVersion) -> None:
    """Raise an exception if another version than the wanted one, which was served at first, has answered a request.

    Raises:
        TakenBack: an older version answered, so a trial of the wanted one has ended; another replica may have it.
        NotServed: a newer one has taken over.
    """
    if wanted and int(wanted) > served.number:
        raise TakenBack(f"version {wanted} was taken back, and version {served.number} answers; retry in a second")
    check_version(wanted, served)


def _is_histogram(intensity: dict[str, Any]) -> bool:
    """Return whether the metrics can show this histogram beside that of incoming images."""
    edges, counts, total = intensity["edges"], intensity["counts"], intensity["sum"]
    numbers = [*counts, total]
    return (
        edges == image_intensity.EDGES.tolist()
        and len(counts) == len(edges) + 1
        and all(type(number) in (int, float) for number in numbers)
    )


def load(folder: Path, threads: int, public_key: Path | None = None) -> ServedVersion:
    """Load the version in `folder`, and test it with its golden request.

    With a public key, manifest, engine and golden request come from a verified private copy; the engine keeps its file
    mapped when the copy is removed.

    Raises:
        NotVerified: the version has no signature that fits the public key.
        StepError: the version is damaged, cannot be loaded, or gives a wrong answer to its golden request.
        OSError: a file of the version, or the public key, cannot be read.
    """
    with signature.checked(folder, public_key) as verified:
        return _load(verified, folder, threads)


def _load(verified: Path, folder: Path, threads: int) -> ServedVersion:
    """Load the version from the folder `verified`; messages name `folder`."""
    manifest = model_manifest.verified(verified)
    if LITE_MODEL not in manifest["files"] or GOLDEN not in manifest["files"]:
        raise outcome.StepError(f"{folder} lacks {LITE_MODEL} or {GOLDEN}; publish again")
    try:
        if not {"class_names", "model", "digest", "training_intensity"} <= manifest.keys():
            raise ValueError("its manifest is incomplete")
        if not _is_histogram(manifest["training_intensity"]):
            raise ValueError("its histogram of the training images has wrong edges, counts or sum")
        golden = json.loads(read_small(verified / GOLDEN))
        samples = [instance[FILES]["b64"] for instance in golden["request"]["instances"]]
        version = ServedVersion(int(folder.name), manifest, LiteEngine(verified / LITE_MODEL, threads), samples)
        answer = version.classify(v1.read_request(json.dumps(golden["request"]).encode()).images)
        if answer.shape[1] != len(version.class_names):
            raise ValueError(f"its model has {answer.shape[1]} outputs but {len(version.class_names)} class names")
        difference = float(np.abs(answer - golden["probabilities"]).max())
    except (ValueError, RuntimeError, KeyError, TypeError) as error:
        raise outcome.StepError(f"{folder} cannot answer its golden request ({error}); publish again") from error
    if not difference <= AGREEMENT:
        raise outcome.StepError(f"{folder} no longer answers its golden request as at publication; publish again")
    return version
