"""The history of the versions: its records, and the state that follows from them."""

import errno
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from distml.publishing.versions import history
from distml.publishing.versions.history import Event, History
from distml.step import atomic_files
from support.refusals import refuse

PUBLISHED, RELEASED, REJECTED = Event.PUBLISHED, Event.RELEASED, Event.REJECTED


def decide(versions: Path, *decisions: tuple[Event, int]) -> history.State:
    for event, version in decisions:
        History(versions).append(event, version)
    return History(versions).state()


def test_an_empty_history_releases_and_withdraws_nothing(tmp_path: Path) -> None:
    assert History(tmp_path).state() == history.State({}, {}, None, 0)


def test_records_keep_their_order_reason_and_facts(tmp_path: Path) -> None:
    History(tmp_path).append(PUBLISHED, 1, run="first", validation_accuracy=0.93)
    History(tmp_path).append(REJECTED, 1, "it answers wrongly")
    first, second = History(tmp_path).records()
    assert (first.sequence, first.event, first.facts) == (1, PUBLISHED, {"run": "first", "validation_accuracy": 0.93})
    assert (second.sequence, second.event, second.version, second.reason) == (2, REJECTED, 1, "it answers wrongly")


def test_the_version_released_last_is_trusted(tmp_path: Path) -> None:
    assert decide(tmp_path, (PUBLISHED, 1), (RELEASED, 1), (PUBLISHED, 2)).released == 1
    assert decide(tmp_path, (RELEASED, 2)).released == 2


@pytest.mark.parametrize("event", [REJECTED, Event.WITHDRAWN])
def test_withdrawing_the_released_version_releases_the_one_before(tmp_path: Path, event: Event) -> None:
    state = decide(tmp_path, (RELEASED, 1), (RELEASED, 2), (event, 2))
    assert (state.released, state.withdrawn.keys()) == (1, {2})


def test_a_withdrawn_version_can_be_released_again(tmp_path: Path) -> None:
    state = decide(tmp_path, (RELEASED, 1), (REJECTED, 2), (RELEASED, 2))
    assert (state.released, state.withdrawn) == (2, {})


def test_a_roll_back_is_one_decision(tmp_path: Path) -> None:
    decide(tmp_path, (RELEASED, 1), (RELEASED, 2), (RELEASED, 3))
    record = History(tmp_path).append(Event.ROLLED_BACK, 1, "slow", withdrawn=[2, 3])
    state = History(tmp_path).state()
    assert (state.released, state.withdrawn) == (1, {2: record, 3: record})


def test_a_withdrawal_trusts_the_version_released_before_once(tmp_path: Path) -> None:
    assert decide(tmp_path, (RELEASED, 1)).released_before is None
    assert decide(tmp_path, (RELEASED, 2), (RELEASED, 1), (RELEASED, 2)).released_before == 1


def test_a_roll_back_to_a_withdrawn_version_releases_it(tmp_path: Path) -> None:
    decide(tmp_path, (RELEASED, 1), (REJECTED, 2))
    record = History(tmp_path).append(Event.ROLLED_BACK, 2, withdrawn=[3])
    state = History(tmp_path).state()
    assert (state.released, state.withdrawn) == (2, {3: record})


def test_an_append_after_another_decision_is_refused(tmp_path: Path) -> None:
    both = History(tmp_path), History(tmp_path)
    seen = both[0].state().sequence
    assert both[1].append(RELEASED, 1, after=seen)
    assert both[0].append(RELEASED, 2, after=seen) is None
    assert [record.version for record in both[0].records()] == [1]


def test_concurrent_decisions_are_all_recorded(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda version: History(tmp_path).append(PUBLISHED, version), range(40)))
    records = History(tmp_path).records()
    assert [record.sequence for record in records] == [*range(1, 41)]
    assert sorted(record.version for record in records) == [*range(40)]


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"event": "unknown"}', '{"event": "released"}'])
def test_a_half_written_record_is_no_decision(tmp_path: Path, content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic_files, "SECONDS_TO_WRITE", 0)
    decide(tmp_path, (RELEASED, 1), (RELEASED, 2))
    (tmp_path / history.FOLDER / "000002.json").write_text(content)
    state = History(tmp_path).state(wait=True)
    assert (state.released, state.sequence) == (1, 2)
    assert History(tmp_path).append(RELEASED, 3, after=state.sequence)
    assert [record.version for record in History(tmp_path).records()] == [1, 3]


def test_a_reader_reads_each_record_once_but_an_unfinished_one_again(tmp_path: Path) -> None:
    reader = History(tmp_path)
    decide(tmp_path, (RELEASED, 1))
    assert len(reader.records()) == 1
    record = tmp_path / history.FOLDER / "000002.json"
    record.write_text("{")
    assert len(reader.records()) == 1
    record.unlink()
    decide(tmp_path, (RELEASED, 2))
    assert reader.state().released == 2


def test_other_files_in_the_folder_are_no_records(tmp_path: Path) -> None:
    decide(tmp_path, (RELEASED, 1))
    folder = tmp_path / history.FOLDER
    for name in ("1.json", "0000002.json", "000002.json~", ".000002.json-killed", "notes.txt", "٠٠٠٠٠٢.json"):
        shutil.copy(folder / "000001.json", folder / name)
    assert History(tmp_path).state() == history.State({}, {}, 1, 1)


@pytest.mark.parametrize("call", [(Path, "iterdir"), (os, "open")])
def test_a_history_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Any) -> None:
    decide(tmp_path, (REJECTED, 1))
    refuse(monkeypatch, errno.EACCES, call)
    with pytest.raises(PermissionError):
        History(tmp_path).state()


def test_a_file_in_place_of_the_history_is_an_error(tmp_path: Path) -> None:
    (tmp_path / history.FOLDER).touch()
    with pytest.raises(NotADirectoryError):
        History(tmp_path).state()


def test_a_reader_forgets_the_history_of_a_cleared_volume(tmp_path: Path) -> None:
    reader = History(tmp_path)
    decide(tmp_path, (RELEASED, 1), (REJECTED, 2))
    assert reader.state().withdrawn.keys() == {2}
    (tmp_path / history.FOLDER).rename(tmp_path / "removed")
    assert reader.state() == history.State({}, {}, None, 0)
    assert reader.state() == decide(tmp_path) == history.State({}, {}, None, 0)
    decide(tmp_path, (RELEASED, 2))
    assert reader.state() == history.State({}, {}, 2, 1)


def test_a_reader_waits_for_an_incomplete_record_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []
    monkeypatch.setattr(history, "read_created_json", lambda path, seconds: waits.append(seconds))
    decide(tmp_path, (RELEASED, 1))
    reader = History(tmp_path)
    for wait in (False, True, True):
        reader.state(wait)
    assert waits == [0, 0, atomic_files.SECONDS_TO_WRITE, 0]


def test_everybody_may_read_the_history_under_any_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        decide(tmp_path, (RELEASED, 1))
    finally:
        os.umask(before)
    folder = tmp_path / history.FOLDER
    assert folder.stat().st_mode & 0o777 == 0o755
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}


@pytest.mark.parametrize(
    ("event", "reason", "words"),
    [
        (Event.WITHDRAWN, "coats", "withdrawn at TIME: coats"),
        (Event.ROLLED_BACK, "", "withdrawn by a roll-back at TIME"),
        (Event.REJECTED, "it is slow", "rejected at TIME: it is slow"),
    ],
)
def test_a_withdrawal_is_described_in_words(event: Event, reason: str, words: str) -> None:
    assert history.describe(history.Record(4, event, 2, "TIME", reason)) == words


@pytest.mark.parametrize(
    ("part", "changed"), [('"version": 2', '"version": 3'), ("0.93", "0.13"), ('"run": "a"', '"run": "b"')]
)
def test_a_record_with_a_changed_letter_or_digit_does_not_count(tmp_path: Path, part: str, changed: str) -> None:
    History(tmp_path).append(PUBLISHED, 2, run="a", validation_accuracy=0.93)
    path = tmp_path / history.FOLDER / "000001.json"
    path.write_text(path.read_text().replace(part, changed))
    assert History(tmp_path).state() == history.State({}, {}, None, 1)


def test_a_record_of_an_older_release_has_no_checksum_and_counts(tmp_path: Path) -> None:
    decide(tmp_path, (RELEASED, 2))
    path = tmp_path / history.FOLDER / "000001.json"
    content = json.loads(path.read_text())
    del content["facts"][history.CHECKSUM]
    path.write_text(json.dumps(content))
    assert History(tmp_path).state().released == 2


def test_a_removed_last_record_is_missed_and_its_number_stays(tmp_path: Path) -> None:
    decide(tmp_path, (RELEASED, 1), (RELEASED, 2))
    (tmp_path / history.FOLDER / "000002.json").unlink()
    assert History(tmp_path).state() == history.State({}, {}, 1, 2)
    assert decide(tmp_path, (RELEASED, 3)).sequence == 3


@pytest.mark.parametrize("note", ["", "7 9", "7", "\0", "9" * 5000])
def test_a_damaged_note_of_the_last_record_is_ignored(tmp_path: Path, note: str) -> None:
    decide(tmp_path, (RELEASED, 1))
    (tmp_path / history.FOLDER / history.LAST).write_text(note)
    assert decide(tmp_path, (RELEASED, 2)) == history.State({}, {}, 2, 2, 1)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_folder_or_a_pipe_in_place_of_a_record_does_not_count(tmp_path: Path, make: Any) -> None:
    decide(tmp_path, (RELEASED, 1), (RELEASED, 2))
    path = tmp_path / history.FOLDER / "000002.json"
    path.unlink()
    make(path)
    assert History(tmp_path).state(wait=True) == history.State({}, {}, 1, 2)
