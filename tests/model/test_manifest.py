"""What the manifest of a model proves, and what it says when it cannot."""

from pathlib import Path

import pytest

from distml.model import manifest
from distml.step import outcome

FACTS = {"class_names": ["Bag", "Coat"], "metrics": {"validation_accuracy": 0.9012}}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "saved_model.pb").write_bytes(b"model")
    manifest.write(tmp_path, FACTS)
    return tmp_path


@pytest.mark.parametrize(("said", "instead"), [("0.9012", "0.9812"), ("Bag", "Bug"), ('"Bag"', '"Bag", "Hat"')])
def test_a_changed_fact_is_found(model: Path, said: str, instead: str) -> None:
    path = model / manifest.MANIFEST
    assert path.read_text().count(said) == 1
    path.write_text(path.read_text().replace(said, instead))
    with pytest.raises(outcome.StepError, match=r"manifest\.json is damaged"):
        manifest.verified(model)


def test_the_digest_names_the_facts_as_well_as_the_files(model: Path) -> None:
    before = manifest.verified(model)
    after = manifest.write(model, {**before, "version": 2})
    assert after == manifest.verified(model)
    assert after["files"] == before["files"] and after["digest"] != before["digest"]


@pytest.mark.parametrize("content", ["[]", "null", "{", '{"files": [], "digest": ""}', '{"files": {}}', "\udcff"])
def test_a_manifest_of_the_wrong_shape_is_one_line(model: Path, content: str) -> None:
    (model / manifest.MANIFEST).write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(outcome.StepError, match="is damaged; remove"):
        manifest.verified(model)
