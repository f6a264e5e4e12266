"""Killed and concurrent decisions: history, mark, folders and table agree after the next start."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest

from distml.model import manifest
from distml.publishing.versions import decisions, folders, history, history_table, publication, signature
from distml.publishing.versions.history import Event, History
from distml.step import atomic_files
from distml.step.volume import Volume
from support.crashes import DECISIONS, at_once, candidate, killed_before_each_write
from support.signing_keys import make


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    """Return a volume with the versions 1 to 4, of which 3 is released, and 2 was before."""
    volume = Volume(tmp_path / "volume")
    for number in range(1, 5):
        publication.publish(volume, candidate(volume), {}, keep=5)
        if number in (2, 3):
            decisions.release(volume, number, "it is good")
    return volume


def marks(volume: Volume) -> tuple[int | None, set[int]]:
    """Return the released version and the withdrawn ones, as a predictor reads them."""
    state = History(volume.versions).state()
    return state.released, set(state.withdrawn)


def digests(volume: Volume) -> dict[int, str]:
    """Return the digest of each version on the volume, withdrawn or not, after checking its files."""
    kept = folders.kept(volume.versions, History(volume.versions).state())
    return {number: manifest.verified(folders.find(volume, number))["digest"] for number in kept}


def check_agreement(volume: Volume, pruned: Iterable[int] = ()) -> None:
    """Check that history, folders and table agree; a withdrawn version in `pruned` may have lost its folder."""
    reader = History(volume.versions)
    state = reader.state()
    assert folders.numbers(volume.versions) == folders.offered(volume.versions, state)
    away = folders.numbers(volume.versions / folders.WITHDRAWN)
    assert {*away} - {*pruned} == state.withdrawn.keys() - {*pruned}
    assert volume.history.read_text() == history_table.render(reader.records(), state, away)
    assert digests(volume).keys() <= state.published.keys()


def check_that_a_version_answers(volume: Volume) -> None:
    """Check that a predictor which starts now finds the released version, and a version that verifies."""
    state = History(volume.versions).state()
    offered = folders.offered(volume.versions, state)
    assert [manifest.verified(volume.version(number)) for number in offered]
    assert state.released in (None, *offered)


# Preparation, decision, then the released version and the withdrawn ones, and the versions that pruning removes.
CASES = [
    ("", "publish", (3, set()), {1}),
    ("", "release", (4, set()), set()),
    ("", "release without links", (4, set()), set()),
    ("withdraw", "release", (4, set()), set()),
    ("", "withdraw", (3, {4}), set()),
    ("", "reject", (3, {4}), set()),
    ("", "roll-back", (2, {3, 4}), set()),
    ("withdraw older", "roll-back", (2, {1, 3, 4}), set()),
    ("older volume", "complete", (None, set()), set()),
]


@pytest.mark.parametrize(("preparation", "decision", "after", "pruned"), CASES)
def test_a_decision_killed_at_any_write_is_made_or_not_made(
    volume: Volume,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    preparation: str,
    decision: str,
    after: tuple[int | None, set[int]],
    pruned: set[int],
) -> None:
    monkeypatch.setattr(atomic_files, "SECONDS_TO_WRITE", 0)
    if preparation == "older volume":
        for name in (history.FOLDER, "1", "2"):
            shutil.rmtree(volume.versions / name)
    elif preparation:
        DECISIONS[preparation](volume)
    before, stored = marks(volume), digests(volume)
    copies = killed_before_each_write(decision, volume.root, tmp_path / "copies")
    assert len(copies) > 5
    for copy in copies:
        found = marks(copy)
        assert found in (before, after)
        check_that_a_version_answers(copy)
        decisions.complete(copy)
        assert marks(copy) == found
        check_agreement(copy)
        assert digests(copy).items() >= {number: stored[number] for number in stored.keys() - pruned}.items()
        state = History(copy.versions).state()
        assert state.published.keys() - digests(copy).keys() <= pruned
        assert folders.next_number(copy, state) > max(stored.keys() | digests(copy).keys())
        if found != after:
            DECISIONS[decision](copy)
            assert marks(copy) == after
            check_agreement(copy)


def test_decisions_at_the_same_time_agree_afterwards(volume: Volume) -> None:
    for _ in range(3):
        at_once(["roll-back", "publish", "withdraw", "reject", "complete", "publish"], volume)
        decisions.complete(volume)
        # A publication may remove all but the newest two in the moment in which they are withdrawn.
        check_agreement(volume, pruned=sorted(History(volume.versions).state().published)[:-2])
    records = History(volume.versions).records()
    assert [record.sequence for record in records] == [*range(1, len(records) + 1)]
    assert sorted(record.version for record in records if record.event is Event.PUBLISHED) == [*range(1, 11)]
    assert marks(volume)[0] in digests(volume)


def test_a_publication_killed_at_any_write_shows_no_half_signed_version(volume: Volume, tmp_path: Path) -> None:
    keys = make(volume.root, "key")
    copies = killed_before_each_write("publish signed", volume.root, tmp_path / "copies")
    shown = [copy for copy in copies if copy.version(5).exists()]
    assert 1 < len(shown) < len(copies) - 5
    for copy in shown:
        assert signature.verify(copy.version(5), keys.public)["version"] == 5
