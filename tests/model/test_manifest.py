"""Damage that the manifest of a model reveals, and the errors that report it."""

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


@pytest.mark.parametrize(("old", "new"), [("0.9012", "0.9812"), ("Bag", "Bug"), ('"Bag"', '"Bag", "Hat"')])
def test_a_changed_fact_in_a_manifest_is_reported_as_damage(model: Path, old: str, new: str) -> None:
    path = model / manifest.MANIFEST
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(outcome.StepError, match=r"manifest\.json is damaged"):
        manifest.verified(model)


def test_a_manifests_digest_changes_with_its_facts(model: Path) -> None:
    before = manifest.verified(model)
    after = manifest.write(model, {**before, "version": 2})
    assert after == manifest.verified(model)
    assert after["files"] == before["files"] and after["digest"] != before["digest"]


@pytest.mark.parametrize("content", ["[]", "null", "{", '{"files": [], "digest": ""}', '{"files": {}}', "\udcff"])
def test_a_malformed_manifest_is_reported_as_damaged(model: Path, content: str) -> None:
    (model / manifest.MANIFEST).write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(outcome.StepError, match="is damaged; remove"):
        manifest.verified(model)
