"""Damage that the manifest of a model reveals, and the errors that report it."""

import os
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


@pytest.mark.parametrize("kind", ["endless", "nested", "folder", "pipe", "device", "link to itself"])
def test_a_file_of_any_kind_in_place_of_a_manifest_is_reported(model: Path, kind: str) -> None:
    path = model / manifest.MANIFEST
    if kind == "endless":
        os.truncate(path, 1 << 40)
    elif kind == "nested":
        path.write_text('{"files": {}, "digest": "", "more": ' + "[" * 100_000 + "]" * 100_000 + "}")
    else:
        path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind in ("device", "link to itself"):
        path.symlink_to("/dev/zero" if kind == "device" else path)
    with pytest.raises(outcome.StepError, match="is damaged; remove"):
        manifest.verified(model)


def test_a_file_that_is_not_listed_is_not_read(model: Path) -> None:
    (model / "more").touch()
    os.truncate(model / "more", 1 << 40)
    (model / "saved_model.pb").write_bytes(b"damaged")
    with pytest.raises(outcome.StepError, match="more is not listed"):
        manifest.verified(model)
