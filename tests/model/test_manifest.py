"""What the manifest of a model proves, and what it says when it cannot."""

import json
import shutil
from pathlib import Path

import pytest

from distml.model import manifest
from distml.serving.release import served_version
from distml.step import outcome
from distml.step.volume import Volume

FACTS = {"class_names": ["Bag", "Coat"], "metrics": {"validation_accuracy": 0.9012}}


@pytest.fixture
def model(tmp_path: Path):
    (tmp_path / "saved_model.pb").write_bytes(b"model")
    manifest.write(tmp_path, FACTS)
    return tmp_path


@pytest.mark.parametrize(("said", "instead"), [("0.9012", "0.9812"), ("Bag", "Bug"), ('"Bag"', '"Bag", "Hat"')])
def test_a_changed_fact_is_found(model, said: str, instead: str) -> None:
    path = model / manifest.MANIFEST
    assert path.read_text().count(said) == 1
    path.write_text(path.read_text().replace(said, instead))
    with pytest.raises(outcome.StepError, match=r"manifest\.json is damaged"):
        manifest.verified(model)


def test_the_digest_names_the_facts_as_well_as_the_files(model) -> None:
    before = manifest.verified(model)
    after = manifest.write(model, {**before, "version": 2})
    assert after == manifest.verified(model)
    assert after["files"] == before["files"] and after["digest"] != before["digest"]


@pytest.mark.parametrize("content", ["[]", "null", "{", '{"files": [], "digest": ""}', '{"files": {}}', "\udcff"])
def test_a_manifest_of_the_wrong_shape_is_one_line(model, content: str) -> None:
    (model / manifest.MANIFEST).write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(outcome.StepError, match="is damaged; remove"):
        manifest.verified(model)


def test_a_version_whose_class_names_do_not_fit_its_outputs_is_refused(
    published_volume: Volume, tmp_path: Path
) -> None:
    folder = shutil.copytree(published_volume.version(1), tmp_path / "1")
    facts = json.loads((folder / manifest.MANIFEST).read_text())
    manifest.write(folder, {**facts, "class_names": facts["class_names"][:9]})
    with pytest.raises(outcome.StepError, match="10 outputs and 9 class names"):
        served_version.load(folder, 1)
