"""The reference images of a version, on the real validation split."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from distml.model import saved_model
from distml.publishing.versions import reference_images
from distml.publishing.versions.reference_images import ReferenceImages
from distml.publishing.versions.version_files import REFERENCE
from distml.step import outcome
from distml.step.volume import Volume


def read(folder: Path) -> ReferenceImages:
    """Read the reference images as they are in `folder`."""
    path = folder / REFERENCE
    return reference_images.read(folder, hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "")


def test_a_version_has_a_hundred_reference_images_of_each_class(published_volume: Volume) -> None:
    reference = read(published_volume.version(1))
    assert reference.images.shape == (1000, 28, 28, 1)
    assert np.bincount(reference.labels).tolist() == [100] * 10
    model, _ = saved_model.load(published_volume.version(1))
    answers = model.signatures["serving_arrays"](images=reference.images)["probabilities"].numpy()
    np.testing.assert_allclose(reference.probabilities, answers, atol=1e-6)


def test_a_class_with_few_images_gives_all_of_them() -> None:
    labels = np.array([0, 1] + [0] * 200)
    assert reference_images.choose(labels).tolist() == [*range(101)]


def test_missing_and_damaged_reference_images_are_reported(tmp_path: Path, published_volume: Volume) -> None:
    with pytest.raises(outcome.StepError, match=r"lacks assets\.extra/reference\.npz; publish again"):
        read(tmp_path)
    content = (published_volume.version(1) / REFERENCE).read_bytes()
    (tmp_path / REFERENCE).parent.mkdir()
    for damaged in (b"", content[:1000], b"text"):
        (tmp_path / REFERENCE).write_bytes(damaged)
        with pytest.raises(outcome.StepError, match=r"reference\.npz is damaged"):
            read(tmp_path)


def test_reference_images_of_wrong_shapes_are_reported(tmp_path: Path) -> None:
    (tmp_path / REFERENCE).parent.mkdir()
    np.savez(tmp_path / REFERENCE, images=np.zeros((2, 28, 28)), labels=np.zeros(2), probabilities=np.zeros((2, 10)))
    with pytest.raises(outcome.StepError, match="wrong shapes"):
        read(tmp_path)


def test_changed_reference_images_are_not_read(published_volume: Volume) -> None:
    with pytest.raises(outcome.StepError, match=r"reference\.npz is damaged"):
        reference_images.read(published_volume.version(1), hashlib.sha256(b"as signed").hexdigest())
