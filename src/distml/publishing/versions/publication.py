"""The publication of a candidate: a complete folder with a new number, and a record in the history."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from distml.model import manifest as model_manifest
from distml.publishing.versions import decisions, folders, signature
from distml.publishing.versions.history import FOLDER, History, State, describe
from distml.publishing.versions.version_files import ADDED_FACTS, ADDED_FILES
from distml.step import outcome
from distml.step.atomic_files import (
    copy_folder,
    folder_beside,
    make_folder,
    remove_abandoned,
    remove_folder,
    rename_folder,
    write_json,
)
from distml.step.progress_bar import say
from distml.step.volume import Volume, turn_in

# Longer than the slowest machine takes to convert and compare a model.
SECONDS_OF_A_PUBLICATION = 600


def current(volume: Volume) -> Path | None:
    """Return the folder of the newest version that is not withdrawn; None if there is none."""
    offered = folders.offered(volume.versions, History(volume.versions).state(wait=True))
    return volume.version(offered[-1]) if offered else None


def publish(
    volume: Volume,
    candidate: Path,
    facts: dict,
    keep: int,
    complete: Callable[[Path], dict] = lambda work: {},
    signing_key: Path | None = None,
) -> int:
    """Copy a candidate beside the versions, verify the copy, rename it to the next number, and record it.

    Args:
        volume: the volume.
        candidate: folder of the candidate.
        facts: entries to add to the candidate's manifest.
        keep: number of versions to keep for a roll-back, at least 1.
        complete: adds files to the version before the files are hashed, and returns more entries for the manifest.
        signing_key: PEM file of the private key that signs the version; None for an unsigned version.

    Returns:
        The version's number.

    Raises:
        StepError: the copy does not match the candidate's manifest.
    """
    history = History(volume.versions)
    number = folders.next_number(volume, decisions.complete(volume))
    with folder_beside(volume.version(number)) as work:
        copy_folder(candidate, work)
        manifest = model_manifest.verified(work)
        entries = {**manifest, **facts, **complete(work)}
        renamed = False
        while not renamed:
            number = folders.next_number(volume, history.state(wait=True))
            published = datetime.now(UTC).isoformat(timespec="seconds")
            manifest = model_manifest.write(work, {**entries, "version": number, "published": published})
            if signing_key:
                signature.sign(work, signing_key)
            # Before the rename: a number may be lost, never given twice.
            write_json(volume.versions / folders.HIGHEST, number)
            # Another process may have given the number, and the version may be withdrawn already: then it has moved.
            given = number in history.state(wait=True).published
            renamed = not given and rename_folder(work, volume.version(number))
    decisions.record_publication(history, number, manifest)
    decisions.complete(volume)
    _remove_old(volume, keep)
    return number


def _remove_old(volume: Volume, keep: int) -> None:
    """Remove older versions, and what killed publications and decisions left, whose numbers are never used again."""
    prune(volume, keep)
    remove_abandoned(volume.versions / "[0-9]*")
    remove_abandoned(volume.versions / FOLDER / "[0-9]*")


def prune(volume: Volume, keep: int) -> None:
    """Remove all but the newest `keep` versions, the released one, and those that may be released in its place.

    These are the version before the released one, for a roll-back, and the one released before, for a withdrawal.
    """
    history = History(volume.versions)
    for number in _unneeded(volume, history.state(wait=True), keep):
        # A decision may have released this version while another one was removed.
        if number in _unneeded(volume, history.state(wait=True), keep):
            remove_folder(volume.version(number))


def _unneeded(volume: Volume, state: State, keep: int) -> list[int]:
    offered = folders.offered(volume.versions, state)
    trusted = [number for number in offered if state.released and number <= state.released]
    needed = {state.released, state.released_before, *trusted[-2:]}
    return [number for number in offered[:-keep] if number not in needed]


def publish_once(
    volume: Volume,
    candidate: Path,
    facts: dict,
    keep: int,
    complete: Callable[[Path], dict] = lambda work: {},
    signing_key: Path | None = None,
) -> int:
    """Publish unless the newest version was made from this candidate, and signed if there is a key; return its number.

    The arguments are those of `publish`; `candidate_digest` in `facts` identifies the candidate. Of several processes
    at once, the first publishes.

    Raises:
        Refused: a version that was made from this candidate was withdrawn or rejected.
        InUse: another process does not end its publication.
    """
    make_folder(volume.versions)
    with turn_in(volume.versions, SECONDS_OF_A_PUBLICATION):
        check_not_withdrawn(volume, facts["candidate_digest"])
        published, signed = current(volume), ", signed" if signing_key else ""
        if published:
            manifest = model_manifest.verified(published)
            same_candidate = manifest.get("candidate_digest") == facts["candidate_digest"]
            is_complete = manifest["files"].keys() >= ADDED_FILES and manifest.keys() >= ADDED_FACTS
            is_signed = signing_key is None or signature.is_signed_by(published, signing_key)
            if same_candidate and is_complete and is_signed:
                _remove_old(volume, keep)  # the publication may have been killed before it did
                say(f"already published as version {published.name}{signed}; its files verify")
                return int(published.name)
        version = publish(volume, candidate, facts, keep, complete, signing_key)
        say(f"published as version {version}{signed}")
        return version


def check_not_withdrawn(volume: Volume, candidate_digest: str) -> None:
    """Raise Refused if a version that was made from this candidate was withdrawn or rejected."""
    state = decisions.complete(volume)
    for number, record in state.withdrawn.items():
        published = state.published.get(number)
        if published and published.facts.get("candidate_digest") == candidate_digest:
            raise outcome.Refused(
                f"not published: this candidate is version {number}, which was {describe(record)}; change the training,"
                f" or release that version again with {decisions.command_to_release(volume, state, number)}"
            )
