"""Decisions about the published versions. Each is one record of the history; folders and table then follow it.

A process that is killed between the record and the folders leaves a decision that holds. The next decision, publication
or look at the history completes the folders. Only the folder of a withdrawn version that is released again moves before
the record, so that there always is a version that can answer.
"""

from collections.abc import Callable
from pathlib import Path

from distml.model import manifest as model_manifest
from distml.publishing.versions import folders, history_table, signature
from distml.publishing.versions.history import Event, History, Record, State, describe
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


def complete(volume: Volume, public_key: Path | None = None) -> State:
    """Complete what a killed process left, and return the state.

    A version without a record (a killed publication, a folder copied by hand, a volume of an older release) gets one,
    unless there is a public key and the version does not verify with it.
    """
    history = History(volume.versions)
    state = history.state(wait=True)
    for number in folders.offered(volume.versions, state):
        if number not in state.published:
            try:
                manifest = _verified(volume.version(number), public_key)
            except (outcome.StepError, OSError):
                continue  # damaged: no predictor serves it either; or another process has moved it
            record_publication(history, number, manifest, "found on the volume")
    while True:
        state = history.state(wait=True)
        folders.move_to_fit(volume, state)
        if history.state(wait=True).sequence == state.sequence:
            break  # otherwise another process has decided, perhaps about a folder that was moved here
    history_table.write(volume, history.records(), state)
    return state


def record_publication(history: History, number: int, manifest: dict, reason: str = "") -> None:
    """Record the publication of a version with this manifest, unless another process has found and recorded it."""
    while number not in (state := history.state(wait=True)).published:
        history.append(Event.PUBLISHED, number, reason, after=state.sequence, **facts_of(manifest))


def facts_of(manifest: dict) -> dict:
    """Return the facts of a version's manifest that its publication records."""
    accuracies = ("validation_accuracy", "test_accuracy")
    keys = ("run", "model", "seed", "digest", "candidate_digest", "data_sha256", "published", *accuracies)
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
    """Record that a version was rejected, unless it is withdrawn or released, or the only one that can answer."""

    def choose(state: State) -> Choice | None:
        decided = version in state.withdrawn or version == state.released
        if decided or not another_can_answer(volume, state, version):
            return None
        return Event.REJECTED, version, {}

    _decide(volume, choose, reason)


def release(volume: Volume, version: int, reason: str, public_key: Path | None = None) -> Record | None:
    """Release a version, also one that was withdrawn or rejected; return its record, None if it is released already.

    Raises:
        NotVerified: there is a public key, and the owner of its private key did not sign the version.
        StepError: there is no such version, it is damaged, or a newer one is offered, which predictors would try again.
    """

    def choose(state: State) -> Choice | None:
        _check_kept(volume, state, version, public_key)
        offered = folders.offered(volume.versions, state)
        if offered and offered[-1] > version:
            raise outcome.StepError(
                f"version {offered[-1]} is newer than version {version}; withdraw it first, or use roll-back --to"
                f" {version}"
            )
        return None if version == state.released else (Event.RELEASED, version, {})

    record = _decide(volume, choose, reason, public_key)
    _check_there(volume, version)
    return record


def withdraw(volume: Volume, version: int, reason: str) -> None:
    """Withdraw a version. If it was released, the version released before it is again.

    Raises:
        StepError: there is no such version, it is withdrawn already, or no other version could answer.
    """

    def choose(state: State) -> Choice:
        if record := state.withdrawn.get(version):
            raise outcome.StepError(f"version {version} is not offered; it was {describe(record)}")
        # A version whose withdrawal has lost its record is still kept away from the servers.
        kept = [number for number in folders.kept(volume.versions, state) if number not in state.withdrawn]
        if version not in kept:
            raise outcome.StepError(_missing(version, state, kept))
        if not another_can_answer(volume, state, version):
            raise outcome.StepError(f"version {version} is the only one that can answer; publish another first")
        return Event.WITHDRAWN, version, {}

    _decide(volume, choose, reason)


def roll_back(volume: Volume, to: int | None, reason: str, public_key: Path | None = None) -> Record:
    """Release an older version again, and withdraw every newer one, in one decision; return its record.

    Args:
        volume: the volume.
        to: number of the version, which may be a withdrawn one; None for the one before the newest.
        reason: a sentence, or "".
        public_key: PEM file of the key that the older version has to verify with; None for no check.

    Raises:
        NotVerified: the owner of the key did not sign the older version.
        StepError: there is no such version, it is damaged, or no newer one is offered.
    """

    def choose(state: State) -> Choice:
        offered = folders.offered(volume.versions, state)
        if not offered and to is None:
            raise outcome.StepError(f"nothing is published in {volume.versions}, so there is nothing to roll back")
        if len(offered) == 1 and to is None:
            raise outcome.StepError(f"there is no version before version {offered[0]} to roll back to")
        target = offered[-2] if to is None else to
        _check_kept(volume, state, target, public_key)
        newer = [number for number in offered if number > target]
        if not newer:
            raise outcome.StepError(
                f"no version is newer than version {target}, so there is nothing to roll back; to make it the one that"
                f" starting predictors trust, use release --version {target}"
            )
        return Event.ROLLED_BACK, target, {"withdrawn": newer}

    record = _decide(volume, choose, reason, public_key)
    assert record
    _check_there(volume, record.version)
    return record


def command_to_release(volume: Volume, state: State, version: int) -> str:
    """Return the command that releases a withdrawn version again."""
    newer = [number for number in folders.offered(volume.versions, state) if number > version]
    return f"pipeline_admin.py {'roll-back --to' if newer else 'release --version'} {version} --volume {volume}"


def another_can_answer(volume: Volume, state: State, version: int) -> bool:
    """Return whether the files of another offered version verify."""
    others = [number for number in folders.offered(volume.versions, state) if number != version]
    return any(_is_intact(volume.version(number)) for number in reversed(others))


def _is_intact(folder: Path) -> bool:
    try:
        model_manifest.verified(folder)
    except (outcome.StepError, OSError):
        return False
    return True


def _check_there(volume: Volume, version: int) -> None:
    """Raise StepError if a publication has removed a version before the record that released it."""
    if not volume.version(version).is_dir():
        newest = folders.kept(volume.versions, History(volume.versions).state(wait=True))[-1:]
        remedy = f"run pipeline_admin.py release --version {newest[0]}" if newest else "publish another"
        raise outcome.StepError(f"version {version} was removed from the volume at the same time; {remedy}")


def _check_kept(volume: Volume, state: State, version: int, public_key: Path | None) -> None:
    """Raise StepError if the volume has no such version, its files are damaged, or its signature does not verify."""
    kept = folders.kept(volume.versions, state)
    if version not in kept:
        raise outcome.StepError(_missing(version, state, kept))
    _verified(folders.find(volume, version), public_key)


def _verified(folder: Path, public_key: Path | None) -> dict:
    return signature.verify(folder, public_key) if public_key else model_manifest.verified(folder)


def _missing(version: int, state: State, others: list[int]) -> str:
    what = (
        f"version {version} is no longer on the volume"
        if version in state.published
        else f"there is no version {version}"
    )
    return f"{what}; " + (f"choose from {', '.join(map(str, others))}" if others else "nothing is published")


def _decide(
    volume: Volume, choose: Callable[[State], Choice | None], reason: str, public_key: Path | None = None
) -> Record | None:
    """Record what `choose` makes of the state; choose again if another decision was faster."""
    while True:
        state = complete(volume, public_key)
        choice = choose(state)
        if choice is None:
            return None
        event, version, facts = choice
        if event in (Event.RELEASED, Event.ROLLED_BACK):
            folders.put_back(volume, version)
        record = History(volume.versions).append(event, version, reason, after=state.sequence, **facts)
        if record:
            complete(volume, public_key)
            return record
