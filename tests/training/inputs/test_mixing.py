"""Blended images have blended scores."""

import numpy as np
import pytest
import tensorflow as tf

from training.inputs import mixing
from training.inputs.chance import Chance

IMAGES = tf.stack([tf.zeros([24, 32, 1]), tf.fill([24, 32, 1], 200.0)])
BATCH = {"image": IMAGES, "scores": tf.eye(2)}


def test_cutmix_shares_the_scores_by_the_area_that_was_pasted() -> None:
    """The share of a class is the share of its pixels, also where the rectangle was cut by the edge."""
    shares = []
    for number in range(20):
        out = mixing.cut_mix(BATCH, 1.0, Chance([number, 0]))
        pasted = (out["image"].numpy() == 200).mean(axis=(1, 2, 3))
        assert out["scores"].numpy()[:, 1] == pytest.approx(pasted, abs=1e-6)
        shares.append(pasted[0])
    assert min(shares) < 0.1
    assert max(shares) > 0.5


def test_cutmix_pastes_one_rectangle() -> None:
    """What comes from the other image is one upright rectangle."""
    pasted = mixing.cut_mix(BATCH, 1.0, Chance([3, 0]))["image"].numpy()[0, ..., 0] == 200
    rows, columns = np.flatnonzero(pasted.any(axis=1)), np.flatnonzero(pasted.any(axis=0))
    assert pasted[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    assert pasted.sum() == len(rows) * len(columns) > 0


def test_of_both_blends_a_coin_takes_one() -> None:
    """With both strengths, a batch is either cut (two values in an image) or mixed (one value)."""
    kinds = set()
    for number in range(12):
        image = mixing.mix(BATCH, 1.0, 1.0, Chance([number, 0]))["image"].numpy()[0]
        kinds.add("mixed" if len(np.unique(image)) == 1 and 0 < image[0, 0, 0] < 200 else "cut")
    assert kinds == {"mixed", "cut"}
