"""Version numbers, pruning, and the leftovers of killed or concurrent publications."""

import os
import re
import shutil
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from distml.model import manifest
from distml.publishing.versions import decisions, folders, history, publication, version_files
from distml.step import atomic_files, outcome
from distml.step.volume import Volume


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path)


@pytest.fixture
def candidate(volume: Volume) -> Path:
    folder = volume.candidate("run", "plain", 1)
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(b"model")
    manifest.write(folder, {"model": "plain"})
    return folder


def test_a_version_number_is_not_reused_after_a_roll_back(volume: Volume, candidate: Path) -> None:
    assert [publication.publish(volume, candidate, {}, keep=5) for _ in range(2)] == [1, 2]
    shutil.rmtree(volume.version(2))
    assert publication.publish(volume, candidate, {}, keep=5) == 3
    assert folders.numbers(volume.versions) == [1, 3]


@pytest.mark.parametrize("content", ["", "[]", "1e999", "[" * 100_000])
def test_a_damaged_record_of_the_highest_version_is_an_error(volume: Volume, candidate: Path, content: str) -> None:
    publication.publish(volume, candidate, {}, keep=5)
    (volume.versions / folders.HIGHEST).write_text(content)
    with pytest.raises(outcome.StepError, match=r"\.highest is damaged; write the highest version number"):
        publication.publish(volume, candidate, {}, keep=5)


def test_a_version_without_a_candidate_digest_is_not_reused(volume: Volume, candidate: Path) -> None:
    volume.version(1).mkdir(parents=True)
    manifest.write(volume.version(1), {})
    assert publication.publish_once(volume, candidate, {"candidate_digest": "digest"}, keep=5) == 2


def completed(work: Path, left_out: str = "") -> dict:
    """Add empty files and entries for the predictor, without one of them."""
    (work / "assets.extra").mkdir()
    for name in version_files.ADDED_FILES - {left_out}:
        (work / name).touch()
    return dict.fromkeys(version_files.ADDED_FACTS - {left_out})


def test_a_candidate_that_is_published_twice_at_once_becomes_one_version(volume: Volume, candidate: Path) -> None:
    numbers = []

    def complete(work: Path) -> dict:
        time.sleep(0.3)
        return completed(work)

    def publish() -> None:
        numbers.append(publication.publish_once(volume, candidate, {"candidate_digest": "digest"}, 5, complete))

    threads = [threading.Thread(target=publish) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (numbers, folders.numbers(volume.versions)) == ([1, 1], [1])


@pytest.mark.parametrize(("left_out", "number"), [("", 1), ("drift_reference", 2), ("assets.extra/reference.npz", 2)])
def test_a_version_that_lacks_what_the_predictor_needs_is_replaced(
    volume: Volume, candidate: Path, left_out: str, number: int
) -> None:
    complete = partial(completed, left_out=left_out)
    facts = {"candidate_digest": "digest"}
    publication.publish(volume, candidate, facts, 5, complete)
    assert publication.publish_once(volume, candidate, facts, 5, complete) == number


def test_only_a_folder_named_by_a_plain_number_is_a_version(volume: Volume, candidate: Path) -> None:
    publication.publish(volume, candidate, {}, keep=5)
    for name in ("007", "²", "٣", "-1", "1.0"):
        (volume.versions / name).mkdir()
    (volume.versions / "3").touch()
    assert folders.numbers(volume.versions) == [1]


def test_a_copy_that_differs_from_its_candidate_is_not_published(
    volume: Volume, candidate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = publication.copy_folder

    def copy_badly(source: Path, target: Path) -> None:
        copy(source, target)
        (target / "saved_model.pb").write_bytes(b"mobel")

    monkeypatch.setattr(publication, "copy_folder", copy_badly)
    with pytest.raises(outcome.StepError, match=r"saved_model\.pb is damaged"):
        publication.publish(volume, candidate, {}, keep=5)
    assert list(volume.versions.iterdir()) == []


def test_publication_removes_all_but_the_newest_versions(volume: Volume, candidate: Path) -> None:
    for _ in range(5):
        publication.publish(volume, candidate, {}, keep=3)
    assert folders.numbers(volume.versions) == [3, 4, 5]


def test_a_killed_pruning_leaves_no_partial_version(
    volume: Volume, candidate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publication.publish(volume, candidate, {}, keep=1)

    def killed(path: Path, **_: object) -> None:
        if path.exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(atomic_files.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        publication.publish(volume, candidate, {}, keep=1)
    assert folders.numbers(volume.versions) == [2]


def test_a_publication_killed_before_pruning_is_pruned_by_the_next_run(volume: Volume, candidate: Path) -> None:
    facts = {"candidate_digest": "digest"}
    for _ in range(3):  # as if each had been killed
        publication.publish(volume, candidate, facts, 5, completed)
    assert publication.publish_once(volume, candidate, facts, 2, completed) == 3
    assert folders.numbers(volume.versions) == [2, 3]


def test_removing_a_version_that_is_already_gone_succeeds(volume: Volume) -> None:
    atomic_files.remove_folder(volume.version(1))
    assert not volume.versions.exists()


def test_publication_removes_old_leftovers_of_killed_publications(volume: Volume, candidate: Path) -> None:
    publication.publish(volume, candidate, {}, keep=5)
    leftover, fresh = volume.versions / ".1-killed", volume.versions / ".1-running"
    for folder in (leftover, fresh):
        folder.mkdir()
    record = volume.versions / f".{folders.HIGHEST}-killed"
    record.touch()
    for path in (leftover, record):
        os.utime(path, (1, 1))
    publication.publish(volume, candidate, {}, keep=5)
    assert {path.name for path in volume.versions.glob(".*")} == {folders.HIGHEST, history.FOLDER, fresh.name}


def test_pruning_keeps_what_a_roll_back_or_a_withdrawal_would_release(volume: Volume, candidate: Path) -> None:
    for number in range(1, 6):
        publication.publish(volume, candidate, {}, keep=9)
        if number in (1, 4):
            decisions.release(volume, number, "")
    decisions.withdraw(volume, 5, "")
    publication.publish(volume, candidate, {}, keep=1)
    assert folders.numbers(volume.versions) == [1, 3, 4, 6]
    assert folders.numbers(volume.versions / folders.WITHDRAWN) == [5]
    assert decisions.roll_back(volume, None, "").version == 4
    decisions.withdraw(volume, 4, "")
    assert history.History(volume.versions).state().released == 1


def test_a_number_is_not_reused_if_only_a_withdrawn_version_has_it(volume: Volume, candidate: Path) -> None:
    publication.publish(volume, candidate, {}, keep=5)
    away = volume.versions / folders.WITHDRAWN
    away.mkdir()
    volume.version(1).rename(away / "1")
    (volume.versions / folders.HIGHEST).unlink()
    assert folders.next_number(volume, history.State({}, {}, None, 0)) == 2


def test_a_publication_is_recorded_with_the_facts_of_its_manifest(volume: Volume, candidate: Path) -> None:
    facts = {"candidate_digest": "abc", "validation_accuracy": 0.93, "secret": "none"}
    publication.publish(volume, candidate, facts, keep=5)
    written = manifest.read(volume.version(1))
    (record,) = history.History(volume.versions).records()
    keys = ("model", "digest", "candidate_digest", "published", "validation_accuracy")
    assert (record.reason, record.facts) == ("", {key: written[key] for key in keys})


@pytest.mark.parametrize(
    ("decide", "how"),
    [(decisions.reject, "rejected"), (decisions.withdraw, "withdrawn")],
)
def test_a_withdrawn_candidate_is_not_published_again(
    volume: Volume, candidate: Path, decide: Callable[[Volume, int, str], None], how: str
) -> None:
    publication.publish(volume, candidate, {"candidate_digest": "good"}, keep=5)
    publication.publish(volume, candidate, {"candidate_digest": "bad"}, keep=5)
    decide(volume, 2, "coats are shirts")
    with pytest.raises(outcome.Refused) as refused:
        publication.publish_once(volume, candidate, {"candidate_digest": "bad"}, keep=5)
    assert re.fullmatch(
        rf"not published: this candidate is version 2, which was {how} at \S+: coats are shirts; change the"
        r" training, or release that version again with pipeline_admin\.py release --version 2 --volume \S+",
        str(refused.value),
    )
    decisions.release(volume, 2, "")
    assert publication.publish_once(volume, candidate, {"candidate_digest": "another"}, keep=5) == 3


def test_a_refusal_names_a_command_that_works_beside_a_newer_version(volume: Volume, candidate: Path) -> None:
    for digest in ("twin", "another", "twin"):
        publication.publish(volume, candidate, {"candidate_digest": digest}, keep=5)
    decisions.withdraw(volume, 1, "")
    with pytest.raises(outcome.Refused, match=r"again with pipeline_admin\.py roll-back --to 1 --volume "):
        publication.publish_once(volume, candidate, {"candidate_digest": "twin"}, keep=5)
    decisions.roll_back(volume, 1, "")
    assert folders.numbers(volume.versions) == [1]


def publish_and_withdraw(volume: Volume, candidate: Path) -> None:
    """Publish a version and withdraw it at once, as other processes may."""
    decisions.withdraw(volume, publication.publish(volume, candidate, {}, keep=5), "it is bad")


def check_that_version_3_is_another(volume: Volume, published: int) -> None:
    """Check that another process published version 3, and this one version 4."""
    found = manifest.read(volume.version(4))["version"], manifest.read(folders.find(volume, 3))["version"]
    assert (published, found, folders.numbers(volume.versions)) == (4, (4, 3), [1, 2, 4])


def test_a_number_given_during_the_conversion_is_not_given_again(volume: Volume, candidate: Path) -> None:
    for _ in range(2):
        publication.publish(volume, candidate, {}, keep=5)

    def convert(_: Path) -> dict:
        publish_and_withdraw(volume, candidate)
        return {}

    check_that_version_3_is_another(volume, publication.publish(volume, candidate, {}, 5, convert))


def test_a_number_given_just_before_the_rename_is_not_given_again(
    volume: Volume, candidate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        publication.publish(volume, candidate, {}, keep=5)
    write = publication.write_json

    def be_overtaken(path: Path, number: int) -> None:
        monkeypatch.setattr(publication, "write_json", write)
        publish_and_withdraw(volume, candidate)
        write(path, number)

    monkeypatch.setattr(publication, "write_json", be_overtaken)
    check_that_version_3_is_another(volume, publication.publish(volume, candidate, {}, keep=5))


def test_a_version_released_during_pruning_is_kept(
    volume: Volume, candidate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(4):
        publication.publish(volume, candidate, {}, keep=5)
    remove = publication.remove_folder

    def roll_back_and_remove(folder: Path) -> None:
        monkeypatch.setattr(publication, "remove_folder", remove)
        decisions.roll_back(volume, 2, "it is bad")
        remove(folder)

    monkeypatch.setattr(publication, "remove_folder", roll_back_and_remove)
    publication.prune(volume, keep=2)
    assert folders.numbers(volume.versions) == [2]


def test_publication_removes_old_leftovers_of_killed_decisions(volume: Volume, candidate: Path) -> None:
    publication.publish(volume, candidate, {}, keep=5)
    leftover = volume.versions / history.FOLDER / ".000007.json-killed"
    leftover.touch()
    os.utime(leftover, (1, 1))
    publication.publish(volume, candidate, {}, keep=5)
    assert not leftover.exists()
