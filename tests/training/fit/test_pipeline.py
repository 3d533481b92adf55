"""Batches: whole epochs, in an order that follows from the seed and the epoch's number."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import worlds
from training.datasets import Samples
from training.fit.pipeline import class_weights, pipeline

LABELS = np.arange(10, dtype=np.int32)
SAMPLES = Samples(
    np.broadcast_to(LABELS.astype(np.uint8)[:, None, None, None], (10, 32, 32, 3)).copy(), LABELS
)


def _order(epochs: tuple[int, int], seed: int = 0) -> list[list[int]]:
    recipe = worlds.tiny_recipe(
        "classification",
        augmentation={},
        training={"epochs": 9, "batch_size": 4, "learning_rate": 1e-3, "seed": seed},
    )
    batches: Any = pipeline(SAMPLES, recipe, 10, training=True, epochs=epochs)
    return [batch["scores"].numpy().argmax(axis=1).tolist() for _, batch in batches]


def test_an_epoch_holds_each_image_once() -> None:
    """The last batch of an epoch is what is left; batches never reach into the next epoch."""
    batches = _order((0, 2))
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2]
    for epoch in (batches[:3], batches[3:]):
        assert sorted(row for batch in epoch for row in batch) == list(range(10))


def test_the_order_follows_from_seed_and_epoch() -> None:
    """An epoch comes in the same order whichever epochs went before; other epochs and seeds have others."""
    assert _order((0, 3))[6:] == _order((2, 3))
    assert _order((0, 1)) != _order((1, 2))
    assert _order((0, 1)) != _order((0, 1), seed=1)


def test_augmentation_follows_from_seed_and_epoch(data_dir: Any) -> None:
    """The pixels too are the same again in a run that starts with that epoch."""
    noise = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3), np.uint8)
    recipe = worlds.tiny_recipe(
        "classification",
        augmentation={"rotation_degrees": 30, "erase": 0.3, "randaugment": 2, "mixup": 0.5, "cutmix": 0.5},
    )
    samples = Samples(noise, LABELS)
    whole = list(pipeline(samples, recipe, 10, training=True, epochs=(0, 2)))
    late = list(pipeline(samples, recipe, 10, training=True, epochs=(1, 2)))
    for (image, _), (again, _) in zip(whole[3:], late, strict=True):
        assert (image.numpy() == again.numpy()).all()
    assert (whole[0][0].numpy() != whole[3][0].numpy()).any()


def test_balanced_classes_count_the_same() -> None:
    """Eight of one class and two of the other weigh the same in all, and 1 on average; a cap holds."""
    labels = np.asarray([0] * 8 + [1] * 2, np.int32)
    samples = Samples(np.zeros((10, 32, 32, 3), np.uint8), labels)
    weights = class_weights(labels, 2)
    assert weights[labels].mean() == pytest.approx(1)
    assert weights[0] * 8 == pytest.approx(weights[1] * 2)
    recipe = worlds.tiny_recipe(
        "classification",
        training={"epochs": 1, "batch_size": 10, "learning_rate": 1e-3, "balance": True},
    )
    _, targets, sent = next(iter(pipeline(samples, recipe, 2, training=True)))
    assert sent["scores"].numpy() == pytest.approx(weights[targets["scores"].numpy().argmax(axis=1)])
    many = np.asarray([0] * 100 + [1], np.int32)
    assert np.divide(*class_weights(many, 2)[::-1]) == pytest.approx(10)
    masks = np.asarray([[[0, 0], [1, 2]]], np.uint8)
    assert class_weights(masks, 3) == pytest.approx([2 / 3, 4 / 3, 4 / 3])


def samples(count: int = 10) -> Samples:
    """Return noise with a label each."""
    chance = np.random.default_rng(0)
    images = chance.integers(0, 256, (count, 8, 8, 3), np.uint8)
    return Samples(images, chance.integers(0, 3, count).astype(np.int32))


def test_without_training_batches_are_the_samples_in_order() -> None:
    """Images come as 0..1, labels one-hot, all of them, in order."""
    given = samples()
    batches = list(pipeline(given, worlds.tiny_recipe("classification"), 3, training=False))
    assert np.concatenate([images for images, _ in batches]) == pytest.approx(given.images / np.float32(255))
    assert np.concatenate([targets["scores"] for _, targets in batches]).argmax(axis=1) == pytest.approx(
        given.labels
    )


def test_without_augmentation_training_only_shuffles() -> None:
    """Where a recipe changes nothing, each image arrives once and unchanged, in another order each epoch."""
    given = samples()
    recipe = worlds.tiny_recipe("classification", augmentation={})
    fed = [pipeline(given, recipe, 3, training=True, epochs=(epoch, epoch + 1)) for epoch in range(2)]
    first, second = (np.concatenate([images for images, _ in batches]) for batches in fed)
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
    expected = list(pipeline(given, recipe, 3, training=False))
    monkeypatch.setattr("training.fit.pipeline.IN_MEMORY_BYTES", 0)
    found = list(pipeline(mapped, recipe, 3, training=False))
    for (images, _), (others, _) in zip(found, expected, strict=True):
        assert np.array_equal(images, others)
        assert images.shape[1:] == (8, 8, 3)


def test_class_weights_of_masks_take_no_memory_to_speak_of() -> None:
    """Sixteen million pixels are counted within a fifth of their own bytes."""
    masks = np.zeros((64, 512, 512), np.uint8)
    masks[:, :128] = 1
    tracemalloc.start()
    weights = class_weights(masks, 2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert weights == pytest.approx([2 / 3, 2])
    assert peak < 0.2 * masks.nbytes
