"""The check for drift: ask every replica of a service for its window of images; compare each, and their sum."""

import http
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any, NamedTuple

from distml.publishing.drift import features
from distml.publishing.drift import look as one_look
from distml.publishing.drift.features import Counts
from distml.publishing.drift.look import Look
from distml.publishing.service import smoke_test
from distml.step import outcome


class Unanswered(outcome.StepError):
    """A replica did not answer, so nothing is known; a retry may succeed."""

    exit_status = 1


class NotCounted(outcome.StepError):
    """A replica knows no drift: an older release of the predictor, or another server."""


class NoReference(outcome.StepError):
    """The version that answers has no reference to compare with; the next one that is published has one."""


# Of the predictor's older releases, and of TensorFlow Serving.
_UNKNOWN_PATH = (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.BAD_REQUEST)


class _Answer(NamedTuple):
    url: str
    version: int
    digest: str
    reference: Counts | None
    window: Counts
    blocks: int


def look(service: str, namespace: str) -> Look:
    """Look at all ready replicas of an InferenceService.

    If the replicas serve different versions, the look is at the version that most of them serve. Knative lists no
    replicas; the look is then at the one that answers.

    Args:
        service: name of the InferenceService, and of its model.
        namespace: namespace of the InferenceService.

    Raises:
        Unanswered: a replica, or the API server, does not answer, or no replica is ready.
        NotCounted: a replica does not count its images.
        NoReference: the version has no reference.
        StepError: there is no such service, or this account may not list the replicas.
    """
    from distml.publishing.service.replicas import Replicas, Unlisted  # here: the Kubernetes client loads slowly

    replicas = Replicas(f"{service}-predictor", namespace)
    try:
        urls, _ = replicas.ready()
    except Unlisted as error:
        raise Unanswered(f"the images of {service} are not known: {error}") from None
    if not urls:
        raise Unanswered(f"no replica of {service} is ready; run kubectl describe inferenceservice {service}")
    try:
        return look_at(urls, service)
    except Unanswered:
        if replicas.service_exists():
            raise
    raise outcome.StepError(
        f"the images of {service} are not known: the cluster has no Service {service}-predictor in the namespace"
        f" {namespace}; check both names, or that KServe's controller runs"
    )


def look_at(urls: Sequence[str], model: str) -> Look:
    """Look at the predictors at `urls`, each without a path; raises what `look` raises.

    The images have drifted if those of all predictors together have, or those of any predictor alone: a sum hides what
    only one of many predictors gets.
    """
    answers: dict[str, list[_Answer]] = defaultdict(list)
    for url in urls:
        answer = _ask(url, model)
        answers[answer.digest].append(answer)
    same = max(answers.values(), key=lambda group: (len(group), group[0].version))
    found = _compare(same, same)
    if found.reference is None:
        raise NoReference(found.text)
    drifted = [each.url for each in same if _compare([each], same).drifted]
    if drifted and len(same) > 1:
        text = f"taken alone, the images of {', '.join(drifted)} have drifted; all {len(same)} replicas: {found.text}"
        found = replace(found, drifted=True, text=text)
    return found


def _compare(some: list[_Answer], same: list[_Answer]) -> Look:
    """Compare the sum of some windows with the reference, as one of the tests of the replicas of the same version."""
    version = same[0]
    window, blocks = reduce(add, [each.window for each in some]), sum(each.blocks for each in some)
    # Replicas of several releases may differ in the bins that they know.
    reference = None if any(each.reference is None for each in same) else version.reference
    tests = len(same) + 1 if len(same) > 1 else 1
    return one_look.look(version.version, version.digest, reference, window, blocks, len(some), tests)


def _ask(url: str, model: str) -> _Answer:
    try:
        return _parse(url, smoke_test.fetch_object(f"{url}/v1/models/{model}/drift"))
    except smoke_test.INVALID as error:
        if isinstance(error, smoke_test.ErrorStatus) and error.status in _UNKNOWN_PATH:
            raise NotCounted(
                f"{url} does not count the images of {model}: {error}; update its image, or train without this check:"
                " set the parameter train to always"
            ) from None
        refused = isinstance(getattr(error, "reason", None), ConnectionRefusedError)
        advice = "is a server running there?" if refused else "see its pod, and run this again"
        raise Unanswered(f"{url} does not report its images: {smoke_test.describe(error)}; {advice}") from None


def _parse(url: str, document: dict[str, Any]) -> _Answer:
    """Read the answer of a replica, which may be of another release; raises `smoke_test.INVALID`."""
    classes = smoke_test.CLASSES
    window = features.from_json(document["window"], classes)
    reference = None if document["reference"] is None else features.from_json(document["reference"], classes)
    digest, blocks = document["digest"], int(document["blocks"])
    if not isinstance(digest, str):
        raise ValueError(f"{digest!r} is not a digest")
    if (blocks and window.images <= 0) or (reference and reference.images <= 0):
        raise ValueError("its blocks or its reference have no images")
    return _Answer(url, int(document["version"]), digest, reference, window, blocks)
