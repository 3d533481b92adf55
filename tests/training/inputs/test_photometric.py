"""Light, colour and sharpness change; pixels stay where they are."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from training.inputs import photometric
from training.inputs.augmentation import augment
from training.inputs.chance import Chance
from training.schema import Augmentation

SEED = (5, 6)


def _pictures(count: int = 16, side: int = 24) -> NDArray[np.float32]:
    """Noise in colours, of another strength in each picture, with black and white in a corner of each."""
    chance = np.random.default_rng(2)
    pictures = chance.uniform(0, 255, (count, side, side, 3)) * chance.uniform(0.5, 1, (count, 1, 1, 1))
    pictures[:, 0, 0], pictures[:, 0, 1] = 0, 255
    return pictures.astype(np.float32)


def _changed(pictures: NDArray[np.float32], **ranges: float) -> NDArray[np.float32]:
    ranged = Augmentation.model_validate(ranges)
    return np.asarray(photometric.change(tf.constant(pictures), ranged, Chance(tf.constant(SEED, tf.int64))))


@pytest.mark.parametrize("name", ["gamma", "tint", "resolution", "invert", "stain", "saturation", "contrast"])
def test_a_seed_gives_the_same_and_within_bounds(name: str) -> None:
    """The same seed gives the same pictures, of values in 0..255; many are another than before."""
    before = _pictures(64, 8)
    after = _changed(before, **{name: 0.6})
    assert (after == _changed(before, **{name: 0.6})).all()
    assert after.min() >= 0
    assert after.max() <= 255
    assert (np.abs(after - before).max(axis=(1, 2, 3)) > 1).mean() >= 0.25


def test_gamma_keeps_black_and_white_and_the_order() -> None:
    """Of gamma, what was darker stays darker, and the ends stay where they are."""
    before = _pictures()
    after = _changed(before, gamma=0.8)
    assert after[:, 0, 0] == pytest.approx(0, abs=0.5)
    assert after[:, 0, 1] == pytest.approx(255)
    order = np.argsort(before.reshape(16, -1), axis=1)
    assert (np.diff(np.take_along_axis(after.reshape(16, -1), order, axis=1)) >= 0).all()
    assert {float(np.sign(row.mean())) for row in after - before} == {-1.0, 1.0}


def test_all_or_a_share_become_negatives() -> None:
    """`invert` is the share of the pictures that become their negatives; the others stay to the bit."""
    before = _pictures(400, 4)
    assert (_changed(before, invert=1.0) == 255 - before).all()
    negative = (_changed(before, invert=0.3) == 255 - before).all(axis=(1, 2, 3))
    same = (_changed(before, invert=0.3) == before).all(axis=(1, 2, 3))
    assert (negative | same).all()
    assert negative.mean() == pytest.approx(0.3, abs=0.07)


def test_a_tint_is_one_factor_for_each_channel() -> None:
    """Within a picture, a channel is multiplied by one number, at most `tint` from 1."""
    before = (_pictures() / 2).astype(np.float32)
    after = _changed(before, tint=0.4)
    factors = after[:, 1:] / before[:, 1:]
    assert np.abs(factors - factors[:, :1, :1]).max() < 1e-3
    assert (np.abs(factors - 1) <= 0.4 + 1e-3).all()
    assert factors[:, 0, 0].std(axis=1).max() > 0.05


def test_lower_resolution_loses_detail_alone() -> None:
    """About half of the pictures lose contrast between neighbours; their means stay."""
    before = _pictures(64, 32)
    after = _changed(before, resolution=0.7)
    detail = [np.abs(np.diff(some, axis=1)).mean(axis=(1, 2, 3)) for some in (before, after)]
    coarser = detail[1] < 0.9 * detail[0]
    assert 0.3 < coarser.mean() < 0.7
    assert (after[~coarser] == before[~coarser]).all()
    assert after.mean(axis=(1, 2, 3)) == pytest.approx(before.mean(axis=(1, 2, 3)), rel=0.05)


def test_a_stain_keeps_what_is_brighter_than_what() -> None:
    """A stained picture lies on a line between two colours, along which brightness goes up or down."""
    before = _pictures()
    after = _changed(before, stain=1.0)
    painted = ~(after == before).all(axis=(1, 2, 3))
    assert painted.sum() >= 8
    for old, new in zip(before[painted], after[painted], strict=True):
        colours = new.reshape(-1, 3)
        spread = np.linalg.svd(colours - colours.mean(axis=0), compute_uv=False)
        assert spread[1] < 1e-3 * spread[0]
        agreement = np.corrcoef(old.mean(axis=2).ravel(), new.mean(axis=2).ravel())[0, 1]
        assert abs(agreement) == pytest.approx(1, abs=1e-3)


def test_a_mirrored_border_mirrors_the_mask_too() -> None:
    """Image and mask stay of one piece: what comes in from outside is in both the same."""
    mask: NDArray[Any] = np.zeros((8, 64, 64), np.uint8)
    mask[:, 2:9, 5:30] = 1
    batch = {"image": tf.constant(mask[..., None] * 255.0), "mask": tf.constant(mask)}
    ranges = Augmentation(zoom=0.9, rotation_degrees=40, shift=0.1, mirrored_border=True)
    moved = augment(batch, ranges, SEED)
    image, found = moved["image"].numpy()[..., 0], moved["mask"].numpy()
    clear = np.abs(image - 127.5) > 110
    assert clear.mean() > 0.9
    assert ((image > 127) == (found == 1))[clear].all()
    # Of the object, which lies near the upper edge, there is more than zoom alone would make.
    edge = augment(batch, ranges.model_copy(update={"mirrored_border": False}), SEED)["mask"].numpy()
    assert (found != edge).any()
