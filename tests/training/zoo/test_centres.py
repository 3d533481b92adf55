"""Maps of objects to lists of objects: what is drawn at a place is answered there."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.maps import LABELS, answered, perfect
from training.zoo import ARCHITECTURES
from training.zoo.centres import SIDES, object_maps, peaks


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 40), st.integers(0, 2**16))
def test_all_objects_come_back(count: int, seed: int) -> None:
    """Of maps that are right, each object is answered surely with its label and box, and nothing else is."""
    chance = np.random.default_rng(seed)
    cells = chance.permutation(64)[:count]
    centres = np.stack([cells % 8 + 0.5, cells // 8 + 0.5], axis=1) / 8 + chance.uniform(
        -0.02, 0.02, (count, 2)
    )
    half = chance.uniform(0.02, 0.06, (count, 2))
    objects = np.full((1, 64, 5), -1, np.float32)
    objects[0, :count, :4] = np.concatenate([centres - half, centres + half], axis=1).clip(0, 1)
    objects[0, :count, 4] = chance.integers(0, LABELS, count)
    found = answered(perfect(objects, (48, 64)), 100)
    sure = found["scores"][0] > 0.99
    assert sure.sum() == count
    assert (found["scores"][0][~sure] < 0.9).all()
    true = sorted(map(tuple, objects[0, :count].round(3).tolist()))
    rows = np.concatenate([found["boxes"][0][sure], found["labels"][0][sure, None]], axis=1)
    for mine, right in zip(sorted(map(tuple, rows.round(3).tolist())), true, strict=True):
        np.testing.assert_allclose(mine, right, atol=0.003)


def test_three_hundred_objects_are_all_answered() -> None:
    """A grid of 15 x 20 small objects in 80 x 80 places is answered whole."""
    y, x = np.mgrid[0:15, 0:20].reshape(2, -1)
    low = np.stack([x / 20, y / 15], axis=1) + 0.01
    boxes = np.concatenate([low, low + 0.03], axis=1)
    objects = np.concatenate([boxes, np.zeros((300, 1))], axis=1)[None].astype(np.float32)
    found = answered(perfect(objects, (80, 80)), 300)
    assert (found["scores"] > 0.99).all()
    assert len({tuple(box) for box in found["boxes"][0].round(2).tolist()}) == 300


def test_of_equal_neighbours_one_is_a_peak() -> None:
    """A plateau, as lower precision makes of a peak, is one object and not several."""
    heat = np.zeros((1, 9, 9, 1), np.float32)
    heat[0, 3:5, 3:5] = 0.7
    found = np.asarray(peaks(keras.ops.convert_to_tensor(heat)))
    assert (found * heat > 0).sum() == 1


def test_the_surest_come_first_and_no_more_than_there_are_places() -> None:
    """Scores descend; where a map has fewer places than are asked for, there are so many."""
    chance = np.random.default_rng(0)
    found = answered(chance.uniform(0, 1, (2, 4, 5, LABELS + SIDES)).astype(np.float32), 1000)
    assert found["scores"].shape == (2, 60)
    assert (np.diff(found["scores"], axis=1) <= 0).all()
    assert set(np.unique(found["labels"])) <= {0.0, 1.0, 2.0}
    assert (found["boxes"] >= 0).all()
    assert (found["boxes"] <= 1).all()


@pytest.mark.parametrize(
    ("name", "shape", "stride"),
    [
        ("efficientnet-lite0-short-pyramid4", (64, 96, 3), 4),
        ("efficientnet-lite0-pyramid", (64, 96, 3), 8),
        ("efficientnet-lite0", (64, 96, 3), 4),
        ("unet", (48, 64, 3), 4),
        ("lecture-cnn-a", (40, 40, 3), 4),
    ],
)
def test_any_features_lead_to_maps(name: str, shape: tuple[int, int, int], stride: int) -> None:
    """Fine features are pooled, coarse ones decoded, and those of a pyramid are taken as they are."""
    maps = object_maps(ARCHITECTURES[name].build(shape), LABELS)
    assert maps.shape == (None, shape[0] // stride, shape[1] // stride, LABELS + SIDES)
