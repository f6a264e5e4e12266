"""Selection and publication, on two candidates from a real training."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import model_selection
from distml.data import input_pipeline
from distml.data.input_pipeline import Split
from distml.model import manifest as model_manifest
from distml.model import saved_model
from distml.publishing.selection import evaluation
from distml.publishing.versions import folders, publication, signature
from distml.publishing.versions.history import History
from distml.publishing.versions.version_files import GOLDEN, LITE_MODEL
from distml.step import outcome
from distml.step.volume import Volume
from support.project import run_script
from support.signing_keys import make

SPLITS = {5_000: "validation", 10_000: "test"}


@pytest.fixture
def volume(tmp_path: Path, trained_volume: Volume) -> Volume:
    return Volume(shutil.copytree(trained_volume.root, tmp_path / "volume", symlinks=True))


@pytest.fixture
def winner(trained_volume: Volume) -> str:
    return model_manifest.verified(trained_volume.version(1))["model"]


@pytest.fixture
def loser(winner: str) -> str:
    return {"plain": "batchnorm", "batchnorm": "plain"}[winner]


@pytest.fixture
def evaluations(monkeypatch: pytest.MonkeyPatch) -> list:
    """Return a list that records each evaluation: the model's folder and the split."""
    load, predict, evaluations = saved_model.load, evaluation.predict, []

    def load_with_folder(folder: Path) -> tuple[Any, dict[str, Any]]:
        model, manifest = load(folder)
        model.folder = folder
        return model, manifest

    def recording_predict(model: Any, split: Split, name: str) -> np.ndarray:
        evaluations.append((model.folder, SPLITS[len(split)]))
        return predict(model, split, name)

    monkeypatch.setattr(saved_model, "load", load_with_folder)
    monkeypatch.setattr(evaluation, "predict", recording_predict)
    return evaluations


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that records the split of each loading of images."""
    load, loads = input_pipeline.load, []

    def recording_load(volume: Volume, split: str) -> Split:
        loads.append(split)
        return load(volume, split)

    monkeypatch.setattr(input_pipeline, "load", recording_load)
    return loads


def select(volume: Volume, *more: object) -> None:
    options = ["--volume", volume, "--accuracy-floor", 0.5, *more]
    model_selection.main(model_selection.parse_args([str(option) for option in options]))


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_the_most_accurate_candidate_is_published_with_a_test_accuracy(trained_volume: Volume) -> None:
    accuracies = {
        name: model_manifest.verified(trained_volume.candidate("first", name, 1))["metrics"]["validation_accuracy"]
        for name in ("plain", "batchnorm")
    }
    manifest = model_manifest.verified(trained_volume.version(1))
    assert manifest["model"] == max(accuracies, key=lambda name: accuracies[name])
    assert manifest["version"] == 1 and 0.5 < manifest["test_accuracy"] < 1
    assert {"saved_model.pb", "variables/variables.index"} <= manifest["files"].keys()


def test_a_second_selection_tests_only_the_winner_and_reuses_its_version(
    volume: Volume, winner: str, evaluations: list, capsys: pytest.CaptureFixture[str]
) -> None:
    select(volume)
    candidates = [volume.candidate("first", name, 1) for name in ("batchnorm", "plain")]
    winners = volume.candidate("first", winner, 1)
    assert evaluations == [*((folder, "validation") for folder in candidates), (winners, "test")]
    assert "already published as version 1; its files verify" in capsys.readouterr().out
    assert folders.numbers(volume.versions) == [1]


def test_the_published_version_has_the_predictors_files_and_facts(trained_volume: Volume) -> None:
    manifest = model_manifest.verified(trained_volume.version(1))
    assert {LITE_MODEL, GOLDEN} <= manifest["files"].keys()
    assert sum(manifest["training_intensity"]["counts"]) == 55_000
    assert {feature: sum(counts) for feature, counts in manifest["drift_reference"]["counts"].items()} == {
        "intensity": 5000,
        "class": 5000,
        "confidence": 5000,
    }
    assert manifest["digest"] != manifest["candidate_digest"]
    golden = json.loads((trained_volume.version(1) / GOLDEN).read_text())
    assert len(golden["request"]["instances"]) == len(golden["probabilities"]) == 10


def test_a_version_without_the_predictors_files_is_published_again(volume: Volume, winner: str) -> None:
    facts = {"candidate_digest": model_manifest.verified(volume.version(1))["candidate_digest"]}
    publication.publish(volume, volume.candidate("first", winner, 1), facts, keep=5)
    select(volume)
    assert LITE_MODEL in model_manifest.verified(volume.version(3))["files"]


def test_selection_exits_with_3_for_a_winner_below_the_floor(volume: Volume) -> None:
    refused = run_script("model_selection.py", "--volume", volume, "--accuracy-floor", 0.999)
    assert refused.returncode == 3
    assert "is below the floor 0.999" in refused.stderr
    assert folders.numbers(volume.versions) == [1]


def test_a_regression_is_refused_before_the_test_images_are_used(
    volume: Volume, winner: str, loser: str, evaluations: list, loads: list[str]
) -> None:
    shutil.rmtree(volume.candidate("first", winner, 1))
    with pytest.raises(outcome.Refused, match=r"below version 1's .*, the best published on this data set: "):
        select(volume, "--tolerance", 0)
    assert evaluations == [(volume.candidate("first", loser, 1), "validation")]
    assert loads == ["validation"]
    assert folders.numbers(volume.versions) == [1]


def test_a_damaged_candidate_is_reported_and_left_out(
    volume: Volume, winner: str, loser: str, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = volume.candidate("first", winner, 1) / "variables" / "variables.data-00000-of-00001"
    damage(weights)
    with pytest.raises(outcome.Refused, match=f"not published: {loser}-seed1's"):
        select(volume, "--accuracy-floor", 1)
    assert f"candidate left out: {weights} is damaged" in capsys.readouterr().out


def test_only_a_model_named_by_the_models_option_can_win(volume: Volume, loser: str) -> None:
    with pytest.raises(outcome.Refused, match=f"not published: {loser}-seed1's"):
        select(volume, "--models", loser, "--accuracy-floor", 1)
    with pytest.raises(outcome.StepError, match="run first has no verified candidate of dropout in"):
        select(volume, "--models", "dropout")


def test_a_damaged_published_version_is_an_error(volume: Volume) -> None:
    damage(volume.version(1) / "saved_model.pb")
    with pytest.raises(outcome.StepError, match=f"{volume.version(1) / 'saved_model.pb'} is damaged"):
        select(volume)


def test_selection_removes_the_leftovers_of_a_killed_training(volume: Volume, winner: str) -> None:
    leftover = volume.candidates("first") / f".{winner}-killed"
    leftover.mkdir()
    os.utime(leftover, (1, 1))
    with pytest.raises(outcome.StepError, match="train a model first"):
        select(volume, "--models", "dropout")
    assert sorted(path.name for path in volume.candidates("first").iterdir()) == ["batchnorm-seed1", "plain-seed1"]


def test_selection_marks_its_run_as_used_before_it_reads_anything(tmp_path: Path) -> None:
    run = Volume(tmp_path).run("first")
    run.mkdir(parents=True)
    os.utime(run, (1, 1))
    with pytest.raises(outcome.StepError, match="no data set"):
        select(Volume(tmp_path), "--run", "first")
    assert run.stat().st_mtime > 1


def test_selection_on_an_empty_volume_asks_to_train_first(tmp_path: Path) -> None:
    with pytest.raises(outcome.StepError, match="train a model first"):
        select(Volume(tmp_path))


def test_the_accuracy_of_the_exported_model_is_the_same_everywhere(trained_volume: Volume, winner: str) -> None:
    report = json.loads((trained_volume.report / "report.json").read_text())
    (record,) = History(trained_volume.versions).records()
    accuracy = model_manifest.verified(trained_volume.version(1))["validation_accuracy"]
    assert [content["validation_accuracy"] for content in (report, report["models"][winner], record.facts)] == (
        [accuracy] * 3
    )
    assert (record.facts["model"], record.facts["seed"], record.facts["run"]) == (winner, 1, "first")
    output = (trained_volume.root / "output.txt").read_text()
    assert f"{winner} has the best validation accuracy: {accuracy:.4f}" in output
    assert f"{winner}-seed{report['seed']}: {report['verdict']} (adjusted p: " in output


def test_both_reports_of_a_run_have_the_same_numbers(trained_volume: Volume) -> None:
    report = json.loads((trained_volume.report / "report.json").read_text())
    assert report["models"].keys() == {"plain", "batchnorm"}
    assert json.loads((trained_volume.run_report("first") / "report.json").read_text()) == report


def test_a_class_below_the_class_floor_is_refused(volume: Volume, winner: str) -> None:
    with pytest.raises(
        outcome.Refused, match=rf"not published: {winner}-seed1's recall of .* below the class floor 1 "
    ):
        select(volume, "--class-floor", 1)
    assert folders.numbers(volume.versions) == [1]


def test_of_several_seeds_the_best_one_of_the_best_model_is_published(
    volume: Volume, winner: str, capsys: pytest.CaptureFixture[str]
) -> None:
    second = shutil.copytree(volume.candidate("first", winner, 1), volume.candidate("first", winner, 2))
    model_manifest.write(second, {**model_manifest.read(second), "seed": 2})
    select(volume)
    assert f"{winner} has the best mean validation accuracy of 2 seeds: " in capsys.readouterr().out
    report = json.loads((volume.report / "report.json").read_text())
    assert (report["seed"], report["models"][winner]["seeds"].keys()) == (1, {"1", "2"})
    select(volume, "--seed", 2, "--seeds", 1)
    assert model_manifest.verified(volume.version(2))["seed"] == 2


def test_a_version_that_this_key_did_not_sign_is_published_again(
    volume: Volume, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, key in ((2, make(tmp_path, "first")), (3, make(tmp_path, "second"))):
        for line in (f"published as version {number}, signed", f"already published as version {number}, signed; its"):
            select(volume, "--signing-key", key.private)
            assert line in capsys.readouterr().out
        assert signature.verify(volume.version(number), key.public)["version"] == number
    assert folders.numbers(volume.versions) == [1, 2, 3]
