"""RandAugment changes as much as it should, and nothing that it should not."""

import numpy as np
import pytest
import tensorflow as tf

from training.inputs import randaugment
from training.inputs.chance import Chance
from training.inputs.randaugment import CHANGES, PHOTOMETRIC, Picks

IMAGES = tf.random.stateless_uniform([len(CHANGES), 12, 12, 3], [1, 2], 20, 230)


def _each_once(strength: float) -> Picks:
    count = len(CHANGES)
    return Picks(tf.range(count)[:, None], tf.fill([count, 1], strength))


def test_each_change_changes_its_own_part() -> None:
    """The geometric ones move and do not recolour, the photometric ones recolour and do not move."""
    picks = _each_once(0.9)
    moved = abs(randaugment.geometry(picks).numpy() - np.eye(3)).max(axis=(1, 2)) > 0.1
    difference = abs(randaugment.recolour(IMAGES, picks).numpy() - IMAGES.numpy())
    recoloured = difference.reshape(len(CHANGES), -1).max(axis=1) > 1
    for name, was_moved, was_recoloured in zip(CHANGES, moved, recoloured, strict=True):
        assert was_moved == (name in randaugment.GEOMETRIC), name
        assert was_recoloured == (name in PHOTOMETRIC), name


def test_pixels_stay_in_range() -> None:
    """Many strong changes after one another end within 0..255."""
    picks = randaugment.pick(len(CHANGES), 5, 1.0, Chance([5, 6]))
    out = randaugment.recolour(IMAGES, picks).numpy()
    assert np.isfinite(out).all()
    assert out.min() >= 0
    assert out.max() <= 255


def test_picks_follow_from_the_seed() -> None:
    """The same seed picks the same changes, another one others; of many, each change about equally often."""
    first, again, other = (
        randaugment.pick(1300, 2, 0.5, Chance([seed, 0])).change.numpy() for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()
    assert np.bincount(first.ravel(), minlength=len(CHANGES)) == pytest.approx(200, rel=0.35)
