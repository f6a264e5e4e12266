"""Decisions about the published versions. Each is one record of the history; folders and table then follow it.

A process that is killed between the record and the folders leaves a decision that holds. The next decision, publication
or look at the history completes the folders.
"""

from collections.abc import Callable

from distml.model import manifest as model_manifest
from distml.publishing.versions import folders, history_table
from distml.publishing.versions.history import Event, History, Record, State
from distml.step import outcome
from distml.step.volume import Volume

# What a choice returns: the event, the version, and facts of the record.
Choice = tuple[Event, int, dict]


class Withdrawn(outcome.Refused):
    """The version was rejected by a predictor, or an administrator withdrew it."""

    def __init__(self, version: int, record: Record):
        end = "was rejected" if record.event is Event.REJECTED else "was withdrawn by an administrator"
        reason = f": {record.reason}" if record.reason else ""
        super().__init__(
            f"version {version} {end} at {record.time}{reason}; to serve it all the same, run pipeline_admin.py"
            f" release --version {version}"
        )


def complete(volume: Volume) -> State:
    """Complete what a killed process left, and return the state.

    A version without a record (a killed publication, a folder copied by hand, a volume of an older release) gets one.
    """
    history = History(volume.versions)
    state = history.state(wait=True)
    for number in folders.offered(volume.versions, state):
        if number not in state.published:
            try:
                manifest = model_manifest.verified(volume.version(number))
            except outcome.StepError:
                continue  # damaged: no predictor serves it either
            history.append(Event.PUBLISHED, number, "found on the volume", **facts_of(manifest))
    records = history.records(wait=True)
    state = history.state(wait=True)
    folders.move_to_fit(volume, state)
    history_table.write(volume, records, state)
    return state


def facts_of(manifest: dict) -> dict:
    """Return the facts of a version's manifest that its publication records."""
    keys = ("run", "model", "seed", "digest", "candidate_digest", "data_sha256", "validation_accuracy", "test_accuracy")
    facts = {key: manifest[key] for key in keys if key in manifest}
    if "metrics" in manifest:  # versions of older releases have only the accuracy at the end of training
        facts.setdefault("validation_accuracy", manifest["metrics"].get("validation_accuracy"))
    return facts


def confirm(volume: Volume, version: int, reason: str) -> None:
    """Record that a version is released, unless a newer one already is.

    Raises:
        Withdrawn: it was withdrawn or rejected meanwhile.
    """

    def choose(state: State) -> Choice | None:
        if record := state.withdrawn.get(version):
            raise Withdrawn(version, record)
        return (Event.RELEASED, version, {}) if version > (state.released or 0) else None

    _decide(volume, choose, reason)


def reject(volume: Volume, version: int, reason: str) -> None:
    """Record that a predictor rejected a version, unless an administrator has withdrawn or released it."""

    def choose(state: State) -> Choice | None:
        decided = version in state.withdrawn or version == state.released
        return None if decided else (Event.REJECTED, version, {})

    _decide(volume, choose, reason)


def release(volume: Volume, version: int, reason: str) -> None:
    """Release a version, also one that was withdrawn or rejected.

    Raises:
        StepError: there is no such version, or a newer one is offered, which predictors would try again.
    """

    def choose(state: State) -> Choice | None:
        kept = folders.numbers(volume.versions / folders.WITHDRAWN) if version in state.withdrawn else []
        offered = folders.offered(volume.versions, state)
        if version not in [*offered, *kept]:
            raise outcome.StepError(f"there is no version {version}; choose from {_list(offered)}")
        if offered and offered[-1] > version:
            raise outcome.StepError(
                f"version {offered[-1]} is newer than version {version}; withdraw it first, or use roll-back --to"
                f" {version}"
            )
        return None if version == state.released else (Event.RELEASED, version, {})

    _decide(volume, choose, reason)


def withdraw(volume: Volume, version: int, reason: str) -> None:
    """Withdraw a version. If it was released, the version released before it is again.

    Raises:
        StepError: there is no such version, it is withdrawn already, or no other version could answer.
    """

    def choose(state: State) -> Choice:
        if record := state.withdrawn.get(version):
            raise outcome.StepError(f"version {version} was {record.event} already at {record.time}: {record.reason}")
        offered = folders.offered(volume.versions, state)
        if version not in offered:
            raise outcome.StepError(f"there is no version {version}; choose from {_list(offered)}")
        if offered == [version]:
            raise outcome.StepError(f"version {version} is the only one that can answer; publish another first")
        return Event.WITHDRAWN, version, {}

    _decide(volume, choose, reason)


def roll_back(volume: Volume, to: int | None, reason: str) -> Record:
    """Release an older version again, and withdraw every newer one, in one decision; return its record.

    Args:
        volume: the volume.
        to: number of the version; None for the one before the released or, if none is released, the newest version.
        reason: a sentence, or "".

    Raises:
        StepError: there is no such version, or none before.
    """

    def choose(state: State) -> Choice:
        offered = folders.offered(volume.versions, state)
        answering = state.released if state.released in offered else max(offered, default=0)
        older = [number for number in offered if number < (answering or 0)]
        if to is None and not older:
            raise outcome.StepError(
                f"there is no version before version {answering} to roll back to"
                if answering
                else "nothing is published, so there is nothing to roll back"
            )
        target = older[-1] if to is None else to
        if target not in offered:
            raise outcome.StepError(f"there is no version {target} to roll back to; choose from {_list(offered)}")
        newer = [number for number in offered if number > target]
        if not newer:
            raise outcome.StepError(f"version {target} is the newest one, so there is nothing to roll back")
        return Event.ROLLED_BACK, target, {"withdrawn": newer}

    record = _decide(volume, choose, reason)
    assert record
    return record


def _decide(volume: Volume, choose: Callable[[State], Choice | None], reason: str) -> Record | None:
    """Record what `choose` makes of the state; choose again if another decision was faster."""
    while True:
        state = complete(volume)
        choice = choose(state)
        if choice is None:
            return None
        event, version, facts = choice
        record = History(volume.versions).append(event, version, reason, after=state.sequence, **facts)
        if record:
            complete(volume)
            return record


def _list(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers)) or "none: nothing is published"
