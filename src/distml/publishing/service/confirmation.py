"""The end of a release: wait until every replica of a service has taken a version over, then record the decision.

Every ready replica counts, and there must be one. A replica that is not ready gets no requests; once it is ready, it
counts too, or it starts after the decision and finds it in the history.
"""

import time
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from distml.protocol.contract import Stage
from distml.publishing.service import smoke_test
from distml.publishing.service.replicas import Replicas, Unlisted
from distml.publishing.versions import decisions, folders, signature
from distml.publishing.versions.history import History, State
from distml.step import outcome
from distml.step.progress_bar import say, working
from distml.step.volume import Volume

SECONDS_BETWEEN_ROUNDS = 2


class NotReleased(outcome.StepError):
    """The version was not taken over, but it stays; a retry may succeed."""

    exit_status = 1


class Answer(NamedTuple):
    """The stage of a version in a replica, None if the replica names none; and a few words about it."""

    stage: Stage | None
    text: str


def confirm_release(
    volume: Volume, version: int, service: str, namespace: str, seconds: float, public_key: Path | None = None
) -> None:
    """Wait until each ready replica of an InferenceService has taken the version over, then record that it is released.

    If a replica rejects it, or does not take it over in time, record that it is rejected. If it was not taken over
    because of something else, a newer version or a service that does not exist, record nothing.

    Args:
        volume: the volume with the published version.
        version: number of the published version.
        service: name of the InferenceService, and of its model.
        namespace: namespace of the InferenceService.
        seconds: how long the replicas may take.
        public_key: PEM file of the key that the version has to verify with; None for no check.

    Raises:
        NotVerified: the owner of the key did not sign the version; no replica is asked.
        StepError: there is no such version or service, or this account may not list the replicas.
        Refused: the version was rejected, or an administrator withdrew it meanwhile.
        NotReleased: it was not taken over, but a newer version is offered, or no other version could answer, or an
            administrator released it.
    """
    state = decisions.complete(volume, public_key)
    _check_wanted(volume, version)
    intact = _intact(volume, state)
    if public_key and version in folders.offered(volume.versions, state):
        # The history is not signed, so only the version itself says which digest was.
        digest = signature.verify(volume.version(version), public_key)["digest"]
    elif not public_key and version in intact:
        digest = state.published[version].facts["digest"]
    else:
        known = ", ".join(map(str, intact)) or "none: nothing is published"
        raise outcome.StepError(f"there is no intact version {version}; choose from {known}")
    replicas = Replicas(f"{service}-predictor", namespace)
    started = time.monotonic()
    rounds = 0  # in a row, in which nothing was missing
    with working(f"waiting until every replica of {service} has taken version {version} over"):
        while True:
            _check_wanted(volume, version)
            missing, needed = _missing(volume, version, digest, service, replicas)
            rounds = 0 if missing else rounds + 1
            if rounds >= needed:
                break
            if missing and time.monotonic() - started > seconds:
                _give_up(volume, version, service, replicas, f"not taken over within {seconds:g} s; {missing}")
            time.sleep(SECONDS_BETWEEN_ROUNDS)
    decisions.confirm(volume, version, f"every replica of {service} has taken it over")
    say(f"version {version} is released: every replica of {service} has taken it over")


def _missing(volume: Volume, version: int, digest: str, service: str, replicas: Replicas) -> tuple[str, int]:
    """Ask every replica; return in a few words what is missing until all have taken the version over, or "".

    Also return in how many rounds in a row nothing may be missing.

    Raises:
        Refused: a replica has rejected the version.
    """
    try:
        urls, rounds = replicas.ready()
    except Unlisted as error:
        return str(error), 1
    answers = {f"replica {url.removeprefix('http://')}": ask(url, service, version, digest) for url in urls}
    for replica, answer in answers.items():
        if answer.stage is Stage.REJECTED:
            _reject(volume, version, f"{replica}: {answer.text}")
    waiting = [f"{replica}: {answer.text}" for replica, answer in answers.items() if answer.stage != Stage.RELEASED]
    if not answers:
        return f"no replica is ready; run kubectl describe inferenceservice {service}", rounds
    return (waiting[0] if waiting else ""), rounds


def ask(url: str, model: str, version: int, digest: str) -> Answer:
    """Ask a replica for the stage of a version; if it is released, check a prediction too."""
    try:
        status = smoke_test.fetch_object(f"{url}/v1/models/{model}")
        if "releases" in status:
            answer = _stage(status["releases"], version, digest)
        else:  # TensorFlow Serving, which tries no version before it answers
            served = smoke_test.ask_version(url, model)
            answer = Answer(Stage.RELEASED if served.matches(version, digest) else None, f"{served} answers")
        if answer.stage is Stage.RELEASED:
            smoke_test.check_prediction(url, model, version)
    except (*smoke_test.INVALID, smoke_test.NotServed) as error:
        return Answer(None, f"no valid answer: {smoke_test.describe(error)}")
    return answer


def _stage(releases: list[dict[str, Any]], version: int, digest: str) -> Answer:
    """Return the stage of the version in the list of a predictor, newest first."""
    entry = next((entry for entry in releases if entry["version"] == str(version)), None)
    if entry is None:
        return Answer(None, "it has not loaded the version yet")
    stage, other = Stage(entry["stage"]), entry["digest"]
    if other != digest and (other or stage is not Stage.REJECTED):  # the digest of a damaged version is not known
        return Answer(None, f"its version {version} is another one, with digest {other[:12]}")
    if stage is Stage.REJECTED:
        return Answer(stage, entry["reason"])
    return Answer(stage, f"its stage is {stage}" + (f" ({entry['reason']})" if entry["reason"] else ""))


def _check_wanted(volume: Volume, version: int) -> None:
    """Raise Refused if the version was withdrawn or rejected, or if a newer one is released."""
    state = History(volume.versions).state()
    if record := state.withdrawn.get(version):
        raise decisions.Withdrawn(version, record)
    if state.released and state.released > version:
        raise outcome.Refused(f"version {version} is not released: the newer version {state.released} is")


def _intact(volume: Volume, state: State) -> list[int]:
    """Return the numbers of the offered versions that were intact when they were recorded, ascending."""
    return [number for number in folders.offered(volume.versions, state) if number in state.published]


def _give_up(volume: Volume, version: int, service: str, replicas: Replicas, reason: str) -> NoReturn:
    """Reject a version that was not taken over in time, unless the reason is a newer one or a wrong `service`.

    Raises:
        NotReleased: a newer version is offered, which ends the trials of this one.
        StepError: there is no such service.
        Refused, NotReleased: see `_reject`.
    """
    newest = max(_intact(volume, decisions.complete(volume)), default=0)
    if newest > version:
        raise NotReleased(f"version {version} is not released: version {newest} is newer; {reason}")
    if not replicas.service_exists():
        raise outcome.StepError(
            f"version {version} is neither released nor rejected: the cluster has no Service {service}-predictor; check"
            " --service and --namespace, or that KServe's controller runs"
        )
    _reject(volume, version, reason)


def _reject(volume: Volume, version: int, reason: str) -> NoReturn:
    """Record that the version is rejected, unless no other could answer or an administrator has decided; then raise.

    Raises:
        Refused: the version is rejected, or an administrator withdrew it.
        NotReleased: the version stays.
    """
    if not decisions.another_can_answer(volume, decisions.complete(volume), version):
        raise NotReleased(f"version {version} is not released: {reason}; it stays, because no other could answer")
    decisions.reject(volume, version, reason)
    _check_wanted(volume, version)
    raise NotReleased(f"an administrator released version {version} meanwhile, but {reason}")
