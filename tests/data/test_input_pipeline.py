"""Batches and their sharding, mostly on numbered labels instead of images."""

from pathlib import Path

import numpy as np
import pytest

from distml.data import input_pipeline
from distml.data.input_pipeline import Share, Split
from distml.step.volume import Volume

IMAGES, BATCH = 1000, 16


@pytest.fixture
def numbered() -> Split:
    """Return a split in which each label is the number of its image."""
    return Split(np.zeros((IMAGES, 28, 28, 1), np.uint8), np.arange(IMAGES))


def epoch_of(split: Split, share: Share, epoch: int, seed: int = 1) -> list[np.ndarray]:
    steps = input_pipeline.steps_per_epoch(len(split), share.global_batch)
    batches = input_pipeline.training_batches(split, share, seed, first_epoch=epoch).take(steps)
    return [labels.numpy() for _, labels in batches]


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_an_epoch_holds_each_image_at_most_once_in_whole_global_batches(numbered: Split, workers: int) -> None:
    seen = np.concatenate(
        [np.concatenate(epoch_of(numbered, Share(BATCH, workers, index), epoch=0)) for index in range(workers)]
    )
    assert len(np.unique(seen)) == len(seen)
    assert IMAGES - len(seen) == IMAGES % (BATCH * workers)


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_global_batches_do_not_depend_on_the_number_of_workers(numbered: Split, workers: int) -> None:
    shares = [epoch_of(numbered, Share(BATCH, workers, index), epoch=3) for index in range(workers)]
    joined = [np.concatenate(parts) for parts in zip(*shares, strict=True)]
    single = epoch_of(numbered, Share(BATCH * workers), epoch=3)
    assert [batch.tolist() for batch in joined] == [batch.tolist() for batch in single]


def test_epochs_differ_in_order_and_in_the_images_left_out(numbered: Split) -> None:
    first, second = (np.concatenate(epoch_of(numbered, Share(BATCH), epoch)) for epoch in (0, 1))
    assert first.tolist() != second.tolist()
    assert set(range(IMAGES)) - set(first) != set(range(IMAGES)) - set(second)


def test_the_seed_decides_the_order_of_the_images(numbered: Split) -> None:
    once, again, other = (np.concatenate(epoch_of(numbered, Share(BATCH), 0, seed)).tolist() for seed in (1, 1, 2))
    assert once == again != other


def test_a_resumed_training_gets_the_batches_of_an_uninterrupted_one(numbered: Split) -> None:
    steps = input_pipeline.steps_per_epoch(IMAGES, BATCH)
    whole = [
        labels.numpy().tolist()
        for _, labels in input_pipeline.training_batches(numbered, Share(BATCH), 1).take(2 * steps)
    ]
    resumed = [batch.tolist() for batch in epoch_of(numbered, Share(BATCH), epoch=1)]
    assert whole[steps:] == resumed


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_validation_counts_each_image_once(numbered: Split, workers: int) -> None:
    counted = np.zeros(IMAGES)
    for index in range(workers):
        batches, steps = input_pipeline.evaluation_batches(numbered, Share(BATCH, workers, index))
        for _, labels, weights in batches.take(steps):
            np.add.at(counted, labels.numpy(), weights.numpy())
    assert counted.tolist() == [1.0] * IMAGES


def test_autotuning_is_off_because_it_delays_the_end_of_iterators(numbered: Split) -> None:
    batches, _ = input_pipeline.evaluation_batches(numbered, Share(BATCH))
    for dataset in (input_pipeline.training_batches(numbered, Share(BATCH), seed=1), batches):
        assert dataset.options().autotune.enabled is False


def test_the_splits_are_fixed_and_disjoint(volume_with_data: Volume) -> None:
    train, validation, test = (input_pipeline.load(volume_with_data, name) for name in ("train", "validation", "test"))
    assert (len(train), len(validation), len(test)) == (55_000, 5_000, 10_000)
    assert train.images.dtype == np.uint8 and train.images.shape == (55_000, 28, 28, 1)
    few = input_pipeline.load_first(volume_with_data, 64)
    assert np.array_equal(few.images, train.images[:64]) and np.array_equal(few.labels, train.labels[:64])
    whole = input_pipeline.read_split(volume_with_data.dataset, "train")[1]
    assert np.array_equal(whole, np.concatenate([train.labels, validation.labels]))


def test_the_first_images_never_include_validation_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_pipeline, "read_split", lambda folder, split: (split, None))
    assert input_pipeline.load_first(Volume(tmp_path), 60_000).images == "train[:55000]"
