"""The check for drift: ask every replica of a service for its window of images, and compare their sum."""

from collections import defaultdict
from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import NamedTuple

from distml.publishing.drift import features
from distml.publishing.drift import look as one_look
from distml.publishing.drift.features import Counts
from distml.publishing.drift.look import Look
from distml.publishing.service import smoke_test
from distml.step import outcome


class Unanswered(outcome.StepError):
    """A replica did not answer, so nothing is known; a retry may succeed."""

    exit_status = 1


class NoReference(outcome.StepError):
    """The version that answers has no reference to compare with; the next one that is published has one."""


class _Answer(NamedTuple):
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
        NoReference: the version has no reference.
        StepError: this account may not list the replicas.
    """
    from distml.publishing.service.replicas import Replicas, Unlisted  # here: the Kubernetes client loads slowly

    try:
        urls, _ = Replicas(f"{service}-predictor", namespace).ready()
    except Unlisted as error:
        raise Unanswered(f"the images of {service} are not known: {error}") from None
    if not urls:
        raise Unanswered(f"no replica of {service} is ready; run kubectl describe inferenceservice {service}")
    return look_at(urls, service)


def look_at(urls: Sequence[str], model: str) -> Look:
    """Look at the predictors at `urls`, each without a path; raises what `look` raises."""
    answers: dict[str, list[_Answer]] = defaultdict(list)
    for url in urls:
        answer = _ask(url, model)
        answers[answer.digest].append(answer)
    same = max(answers.values(), key=lambda group: (len(group), group[0].version))
    window, blocks = reduce(add, [each.window for each in same]), sum(each.blocks for each in same)
    first = same[0]
    found = one_look.look(first.version, first.digest, first.reference, window, blocks, len(same))
    if found.reference is None:
        raise NoReference(found.text)
    return found


def _ask(url: str, model: str) -> _Answer:
    try:
        document = smoke_test.fetch_object(f"{url}/v1/models/{model}/drift")
        reference = document["reference"]
        return _Answer(
            int(document["version"]),
            document["digest"],
            None if reference is None else features.from_json(reference),
            features.from_json(document["window"]),
            int(document["blocks"]),
        )
    except smoke_test.INVALID as error:
        raise Unanswered(
            f"{url} does not report its images: {smoke_test.describe(error)}; see its pod, and run this again"
        ) from None
