"""What `fit` is fed with."""

from pathlib import Path

import numpy as np
import pytest

from tests import worlds
from training import pipeline
from training.datasets import Samples


def samples(count: int = 10) -> Samples:
    """Return noise with a label each."""
    chance = np.random.default_rng(0)
    images = chance.integers(0, 256, (count, 8, 8, 3), np.uint8)
    return Samples(images, chance.integers(0, 3, count).astype(np.int32))


def test_without_training_batches_are_the_samples_in_order() -> None:
    """Images come as 0..1, labels one-hot, all of them, in order."""
    given = samples()
    batches = list(pipeline.pipeline(given, worlds.tiny_recipe("classification"), 3, training=False))
    assert np.concatenate([images for images, _ in batches]) == pytest.approx(given.images / np.float32(255))
    assert np.concatenate([targets["scores"] for _, targets in batches]).argmax(axis=1) == pytest.approx(
        given.labels
    )


def test_without_augmentation_training_only_shuffles() -> None:
    """Where a recipe changes nothing, each image arrives once and unchanged, in another order each epoch."""
    given = samples()
    recipe = worlds.tiny_recipe("classification", augmentation={})
    fed = pipeline.pipeline(given, recipe, 3, training=True)
    first, second = (np.concatenate([images for images, _ in fed]) for _ in range(2))
    assert sorted(image.sum() for image in first) == pytest.approx(
        sorted(image.sum() / 255 for image in given.images.astype(np.float64)), rel=1e-4
    )
    assert not np.array_equal(first, second)


def test_large_mapped_arrays_are_read_row_by_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mapped array that is too large for memory gives the same batches as one in memory."""
    given = samples()
    np.save(tmp_path / "images.npy", given.images)
    mapped = Samples(np.load(tmp_path / "images.npy", mmap_mode="r"), given.labels)
    recipe = worlds.tiny_recipe("classification")
    expected = list(pipeline.pipeline(given, recipe, 3, training=False))
    monkeypatch.setattr(pipeline, "IN_MEMORY_BYTES", 0)
    found = list(pipeline.pipeline(mapped, recipe, 3, training=False))
    for (images, _), (others, _) in zip(found, expected, strict=True):
        assert np.array_equal(images, others)
        assert images.shape[1:] == (8, 8, 3)
