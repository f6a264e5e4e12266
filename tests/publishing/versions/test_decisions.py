"""The decisions about versions: what each changes, and what it refuses."""

import re
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from distml.model import manifest
from distml.publishing.versions import decisions, folders, history, publication
from distml.publishing.versions.history import Event, History
from distml.step import atomic_files, outcome
from distml.step.volume import Volume
from support.crashes import candidate


def result(volume: Volume) -> tuple[int | None, list[int], list[int]]:
    """Return the released version, and the numbers of the folders with offered and with withdrawn versions."""
    released = History(volume.versions).state().released
    return released, folders.numbers(volume.versions), folders.numbers(volume.versions / folders.WITHDRAWN)


def refusal(decide: Callable[..., Any], *arguments: Any) -> str:
    """Return the sentence with which a decision is refused; nothing may be recorded."""
    before = History(arguments[0].versions).records()
    with pytest.raises(outcome.StepError) as refused:
        decide(*arguments)
    assert History(arguments[0].versions).records() == before
    return re.sub(r" at [\d-]+T[\d:]+\+00:00", " at TIME", str(refused.value))


def test_a_release_marks_the_newest_version(versions: Volume) -> None:
    decisions.release(versions, 3, "it is good")
    assert result(versions) == (3, [1, 2, 3], [])


def test_a_second_release_of_the_same_version_adds_no_record(versions: Volume) -> None:
    for _ in range(2):
        decisions.release(versions, 3, "it is good")
    assert [record.event for record in History(versions.versions).records()].count(Event.RELEASED) == 1


def test_a_withdrawal_moves_the_version_away_and_trusts_the_one_before(versions: Volume) -> None:
    decisions.release(versions, 3, "")
    publication.publish(versions, candidate(versions), {}, keep=5)
    decisions.release(versions, 4, "")
    decisions.withdraw(versions, 4, "it is bad")
    assert result(versions) == (3, [1, 2, 3], [4])


def test_a_withdrawn_version_is_released_again_with_its_files(versions: Volume) -> None:
    decisions.withdraw(versions, 3, "")
    decisions.release(versions, 3, "it was good")
    assert result(versions) == (3, [1, 2, 3], [])
    assert manifest.verified(versions.version(3))["version"] == 3


def test_a_roll_back_goes_to_the_version_before_the_newest(versions: Volume) -> None:
    assert decisions.roll_back(versions, None, "it is bad").facts == {"withdrawn": [3]}
    assert result(versions) == (2, [1, 2], [3])
    decisions.roll_back(versions, None, "")
    assert result(versions) == (1, [1], [2, 3])


def test_a_roll_back_to_a_number_withdraws_every_newer_version(versions: Volume) -> None:
    for to in (2, 1):
        decisions.release(versions, max(folders.numbers(versions.versions)), "by hand")
        decisions.roll_back(versions, to, "")
    assert result(versions) == (1, [1], [2, 3])


def test_after_a_roll_back_the_next_one_goes_one_version_back(versions: Volume) -> None:
    decisions.roll_back(versions, None, "")
    publication.publish(versions, candidate(versions), {}, keep=5)
    decisions.roll_back(versions, None, "")
    assert result(versions) == (2, [1, 2], [3, 4])


def test_a_roll_back_may_name_a_withdrawn_version(versions: Volume) -> None:
    decisions.withdraw(versions, 2, "")
    decisions.roll_back(versions, 2, "it was good")
    assert result(versions) == (2, [1, 2], [3])


def test_a_predictors_rejection_withdraws_the_version(versions: Volume) -> None:
    decisions.reject(versions, 3, "it is slow")
    assert result(versions) == (None, [1, 2], [3])


@pytest.mark.parametrize("decide", [decisions.release, decisions.withdraw])
def test_a_rejection_changes_no_decision_of_an_administrator(
    versions: Volume, decide: Callable[[Volume, int, str], None]
) -> None:
    decide(versions, 3, "")
    before = History(versions.versions).records()
    decisions.reject(versions, 3, "it is slow")
    assert History(versions.versions).records() == before


def test_the_only_version_is_not_rejected(versions: Volume) -> None:
    decisions.roll_back(versions, 1, "")
    publication.prune(versions, keep=1)
    decisions.reject(versions, 1, "no replica was in time")
    assert result(versions) == (1, [1], [2, 3])


def test_a_confirmation_never_marks_an_older_version(versions: Volume) -> None:
    for version in (3, 2, 3):
        decisions.confirm(versions, version, "")
    assert [record.version for record in History(versions.versions).records() if record.event == Event.RELEASED] == [3]


def test_a_confirmation_of_a_withdrawn_version_is_refused(versions: Volume) -> None:
    decisions.withdraw(versions, 3, "it is bad")
    assert refusal(decisions.confirm, versions, 3, "") == (
        "version 3 was withdrawn by an administrator at TIME: it is bad; to serve it all the same, run"
        " pipeline_admin.py release --version 3"
    )


def test_a_release_of_a_version_that_cannot_answer_is_refused(versions: Volume) -> None:
    publication.publish(versions, candidate(versions), {}, keep=3)
    assert [refusal(decisions.release, versions, number, "") for number in (1, 9, 3)] == [
        "version 1 is no longer on the volume; choose from 2, 3, 4",
        "there is no version 9; choose from 2, 3, 4",
        "version 4 is newer than version 3; withdraw it first, or use roll-back --to 3",
    ]


def test_a_withdrawal_of_no_version_or_the_only_one_is_refused(versions: Volume) -> None:
    decisions.roll_back(versions, 1, "they are bad")
    publication.publish(versions, candidate(versions), {}, keep=5)
    decisions.withdraw(versions, 4, "")
    assert [refusal(decisions.withdraw, versions, number, "") for number in (1, 3, 4, 9)] == [
        "version 1 is the only one that can answer; publish another first",
        "version 3 is not offered; it was withdrawn by a roll-back at TIME: they are bad",
        "version 4 is not offered; it was withdrawn at TIME",
        "there is no version 9; choose from 1",
    ]


def test_the_only_intact_version_is_neither_withdrawn_nor_rejected(versions: Volume) -> None:
    for number in (1, 2):
        (versions.version(number) / "saved_model.pb").write_bytes(b"mobel")
    decisions.reject(versions, 3, "no replica was in time")
    assert refusal(decisions.withdraw, versions, 3, "") == (
        "version 3 is the only one that can answer; publish another first"
    )
    assert result(versions) == (None, [1, 2, 3], [])


@pytest.mark.parametrize(("decide", "version", "newest"), [(decisions.roll_back, 1, 3), (decisions.release, 3, 2)])
def test_a_version_removed_during_its_release_is_an_error(
    versions: Volume,
    monkeypatch: pytest.MonkeyPatch,
    decide: Callable[[Volume, int, str], Any],
    version: int,
    newest: int,
) -> None:
    put_back = folders.put_back

    def put_back_and_remove(volume: Volume, number: int) -> None:
        put_back(volume, number)
        shutil.rmtree(volume.version(version))

    with monkeypatch.context() as patched, pytest.raises(outcome.StepError) as refused:
        patched.setattr(folders, "put_back", put_back_and_remove)
        decide(versions, version, "")
    assert str(refused.value) == (
        f"version {version} was removed from the volume at the same time; run pipeline_admin.py release --version"
        f" {newest}"
    )
    decisions.release(versions, newest, "")
    assert newest in result(versions)[1]


def test_a_decision_made_during_the_moves_is_followed(versions: Volume, monkeypatch: pytest.MonkeyPatch) -> None:
    decisions.withdraw(versions, 3, "")
    move = folders.move_to_fit

    def be_overtaken_and_move(volume: Volume, state: history.State) -> None:
        monkeypatch.setattr(folders, "move_to_fit", move)
        decisions.release(volume, 3, "it was good")
        move(volume, state)

    monkeypatch.setattr(folders, "move_to_fit", be_overtaken_and_move)
    assert decisions.complete(versions).released == 3
    assert result(versions) == (3, [1, 2, 3], [])


def test_two_folders_of_one_number_are_both_kept(versions: Volume, capfd: pytest.CaptureFixture[str]) -> None:
    decisions.withdraw(versions, 3, "")
    away, copied = versions.versions / folders.WITHDRAWN / "3", versions.version(3)
    shutil.copytree(away, copied)
    decisions.complete(versions)
    reason = "have the same number, so neither is moved; keep the right one and remove the other"
    assert f"{copied} and {away} {reason}" in "".join(capfd.readouterr())
    assert refusal(decisions.release, versions, 3, "") == f"{away} and {copied} {reason}"
    assert result(versions) == (None, [1, 2, 3], [3])


def test_a_roll_back_without_a_version_to_roll_back_to_is_refused(versions: Volume) -> None:
    publication.publish(versions, candidate(versions), {}, keep=3)
    assert [refusal(decisions.roll_back, versions, number, "") for number in (1, 9, 4)] == [
        "version 1 is no longer on the volume; choose from 2, 3, 4",
        "there is no version 9; choose from 2, 3, 4",
        "no version is newer than version 4, so there is nothing to roll back; to make it the one that starting"
        " predictors trust, use release --version 4",
    ]
    decisions.roll_back(versions, 2, "")
    assert refusal(decisions.roll_back, versions, None, "") == "there is no version before version 2 to roll back to"


def test_nothing_is_decided_about_an_empty_volume(versions: Volume) -> None:
    versions.clear()
    assert [
        refusal(decisions.roll_back, versions, None, ""),
        refusal(decisions.release, versions, 1, ""),
    ] == [
        f"nothing is published in {versions.versions}, so there is nothing to roll back",
        "there is no version 1; nothing is published",
    ]
    assert not versions.versions.exists()


@pytest.mark.parametrize("decide", [decisions.release, decisions.roll_back])
def test_a_damaged_version_is_not_released(versions: Volume, decide: Callable[[Volume, int, str], Any]) -> None:
    decisions.withdraw(versions, 3, "")
    file = versions.versions / folders.WITHDRAWN / "3/saved_model.pb"
    file.write_bytes(b"mobel")
    assert refusal(decide, versions, 3, "").startswith(f"{file} is damaged; remove {file.parent} and train or")


def test_versions_of_an_older_volume_are_recorded_once(versions: Volume) -> None:
    shutil.rmtree(versions.versions / history.FOLDER)
    (versions.version(2) / "saved_model.pb").write_bytes(b"mobel")
    for _ in range(2):
        decisions.complete(versions)
    records = History(versions.versions).records()
    assert [(record.event, record.version, record.reason) for record in records] == [
        (Event.PUBLISHED, 1, "found on the volume"),
        (Event.PUBLISHED, 3, "found on the volume"),
    ]
    assert [record.facts["published"] for record in records] == [
        manifest.read(versions.version(number))["published"] for number in (1, 3)
    ]


def test_a_version_stays_away_if_the_record_of_its_withdrawal_is_damaged(
    versions: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atomic_files, "SECONDS_TO_WRITE", 0)
    decisions.withdraw(versions, 3, "")
    (versions.versions / history.FOLDER / "000004.json").write_text("damage")
    decisions.roll_back(versions, 1, "")
    assert result(versions) == (1, [1], [2, 3])
    decisions.withdraw(versions, 3, "")
    assert set(History(versions.versions).state().withdrawn) == {2, 3}
    decisions.release(versions, 3, "")
    assert result(versions) == (3, [1, 3], [2])
