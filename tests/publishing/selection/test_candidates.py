"""The candidates of a run: the verified ones, and the newest run."""

from pathlib import Path

import pytest

from distml.model import manifest as model_manifest
from distml.publishing.selection import candidates
from distml.step import outcome
from distml.step.volume import Volume


def write_candidate(volume: Volume, run: str, model: str, created: str, seed: int = 1, **facts: str) -> None:
    folder = volume.candidate(run, model, seed)
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_text(model)
    model_manifest.write(folder, {"created": created, **facts})


def test_the_newest_run_has_the_newest_verified_candidate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    volume = Volume(tmp_path)
    for run, created in (("a", "2026-01-01"), ("b", "2026-01-03"), ("c", "2026-01-02")):
        write_candidate(volume, run, "plain", created)
    write_candidate(volume, "a", ".plain-unfinished", "2026-01-04")
    write_candidate(volume, ".half-removed", "plain", "2026-01-04")
    assert candidates.newest_run(volume) == "b"
    damaged = volume.candidate("b", "plain", 1) / "saved_model.pb"
    damaged.write_text("damage")
    assert candidates.newest_run(volume) == "c"
    assert f"candidate left out: {damaged} is damaged" in capsys.readouterr().out


def test_a_candidate_trained_on_other_data_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    volume = Volume(tmp_path)
    write_candidate(volume, "a", "plain", "2026-01-01", data_sha256="these")
    write_candidate(volume, "a", "dropout", "2026-01-01", data_sha256="others")
    assert [one.name for one in candidates.verified(volume, "a", "these")] == ["plain-seed1"]
    left_out = f"{volume.candidate('a', 'dropout', 1)} was not trained on the data set in {volume.dataset}"
    assert capsys.readouterr().out == f"candidate left out: {left_out}\n"
    with pytest.raises(outcome.StepError, match="run a has no verified candidate of dropout in"):
        candidates.verified(volume, "a", "these", ["dropout"])


def test_candidates_are_sorted_by_model_and_seed_and_chosen_by_both(tmp_path: Path) -> None:
    volume = Volume(tmp_path)
    for model, seed in (("plain", 10), ("batchnorm", 2), ("plain", 2), ("batchnorm", 1)):
        write_candidate(volume, "a", model, "2026-01-01", seed, data_sha256="these")

    def found(*choice: list | None) -> list[str]:
        return [one.name for one in candidates.verified(volume, "a", "these", *choice)]

    assert found() == ["batchnorm-seed1", "batchnorm-seed2", "plain-seed2", "plain-seed10"]
    assert found(["plain", "batchnorm"], [2, 10]) == ["plain-seed2", "plain-seed10", "batchnorm-seed2"]
    with pytest.raises(outcome.StepError, match="run a has no verified candidate of plain with seed 1, 3 in"):
        found(["plain"], [1, 3])


def test_more_seeds_leave_only_the_new_candidates_unfinished(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = Volume(tmp_path)
    for model in ("plain", "dropout"):
        write_candidate(volume, "a", model, "2026-01-01")
    missing = candidates.unfinished(volume, "a", ["plain", "dropout"], [1, 2])
    assert missing == [("plain", 2), ("dropout", 2)]
    announced = [f"{model}-seed1: already trained in run a; its files verify" for model in ("plain", "dropout")]
    assert capsys.readouterr().out.splitlines() == announced


def test_a_candidate_of_an_older_release_is_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = Volume(tmp_path)
    write_candidate(volume, "a", "plain", "2026-01-01")
    old = volume.candidate("a", "plain", 1).rename(volume.candidates("a") / "plain")
    with pytest.raises(outcome.StepError, match=r"no verified candidate in .*; train a model first"):
        candidates.newest_run(volume)
    reason = "is not named <model>-seed<seed>; an older release trained it, so train the model again"
    assert capsys.readouterr().out == f"candidate left out: {old} {reason}\n"


def test_a_damaged_candidate_is_reported_only_with_announce_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = Volume(tmp_path)
    write_candidate(volume, "a", "plain", "2026-01-01")
    folder = volume.candidate("a", "plain", 1)
    assert candidates.is_finished(folder, announce=True)
    (folder / "saved_model.pb").write_text("damage")
    assert not candidates.is_finished(folder, announce=False)
    assert not candidates.is_finished(folder, announce=True)
    assert not candidates.is_finished(volume.candidate("a", "dropout", 1), announce=True)
    assert capsys.readouterr().out == f"{folder}/saved_model.pb is damaged; training plain-seed1 again\n"
