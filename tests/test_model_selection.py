"""Selection and publication, on two really trained candidates."""

import json
import shutil

import pytest
from conftest import run_script

import model_manifest
import publication
from volume import Volume


@pytest.fixture
def volume(tmp_path, trained_volume) -> Volume:
    return Volume(shutil.copytree(trained_volume.root, tmp_path / "volume"))


def select(volume: Volume, *options: object):
    return run_script("model_selection.py", "--volume", volume, "--accuracy-floor", 0.5, *options)


def damage(path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_the_most_accurate_candidate_is_published_and_scored_on_test(volume):
    accuracies = {
        name: model_manifest.verified(volume.candidate("first", name))["metrics"]["validation_accuracy"]
        for name in ("plain", "batchnorm")
    }
    manifest = model_manifest.verified(volume.version(1))
    assert manifest["model"] == max(accuracies, key=accuracies.get)
    assert manifest["version"] == 1 and 0.5 < manifest["test_accuracy"] < 1
    assert {"saved_model.pb", "variables/variables.index"} <= manifest["files"].keys()


def test_selecting_again_publishes_nothing_new(volume):
    again = select(volume)
    assert again.returncode == 0, again.stderr
    assert "already published as version 1; its files verify" in again.stdout
    assert publication.numbers(volume) == [1]


def test_a_floor_not_reached_exits_3_and_leaves_what_is_published(volume):
    refused = select(volume, "--accuracy-floor", 0.999)
    assert refused.returncode == 3
    assert "is below the floor 0.999" in refused.stderr
    assert publication.numbers(volume) == [1]


def test_a_regression_exits_3_and_leaves_what_is_published(volume):
    winner = model_manifest.verified(volume.version(1))["model"]
    shutil.rmtree(volume.candidate("first", winner))
    refused = select(volume, "--tolerance", 0)
    assert refused.returncode == 3
    assert "below version 1's" in refused.stderr
    assert publication.numbers(volume) == [1]


def test_a_damaged_candidate_is_named_and_left_out(volume):
    winner = model_manifest.verified(volume.version(1))["model"]
    weights = volume.candidate("first", winner) / "variables" / "variables.data-00000-of-00001"
    damage(weights)
    selection = select(volume, "--tolerance", 1)
    assert selection.returncode == 0, selection.stderr
    assert f"left out: {weights} is damaged" in selection.stdout
    assert model_manifest.verified(volume.version(2))["model"] != winner


def test_a_damaged_published_version_is_named(volume):
    damage(volume.version(1) / "saved_model.pb")
    selection = select(volume)
    assert selection.returncode == 2
    assert f"{volume.version(1) / 'saved_model.pb'} is damaged" in selection.stderr


def test_older_versions_are_pruned_beyond_the_number_to_keep(volume):
    candidate = volume.candidate("first", "plain")
    for _ in range(4):
        publication.publish(volume, candidate, {}, keep=3)
    assert publication.numbers(volume) == [3, 4, 5]
    assert not list(volume.versions.glob(".*"))


def test_an_empty_volume_says_to_train_first(tmp_path):
    early = run_script("model_selection.py", "--volume", tmp_path)
    assert early.returncode == 2
    assert "train a model first" in early.stderr


def test_the_report_has_the_promised_keys(volume):
    report = json.loads((volume.report / "report.json").read_text())
    assert {"winner", "version", "validation_accuracy", "test_accuracy", "models"} <= report.keys()
    assert report["models"].keys() == {"plain", "batchnorm"}
    keys = {"parameters", "seconds", "images_per_second", "validation_accuracy"}
    assert all(model.keys() == keys for model in report["models"].values())
    assert (volume.run_report("first") / "report.json").read_text() == (volume.report / "report.json").read_text()
