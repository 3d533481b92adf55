"""Distances of features, and the shares of other images that are as far."""

import numpy as np
import pytest
from keras import ops
from numpy.typing import NDArray

from training.evaluation import distance
from training.evaluation.distance import Known, fit

Array = NDArray[np.float32]

SPREAD = np.asarray([1.0, 0.5, 0.1, 0.1, 0.05, 0.05])
CENTRES = np.asarray([[6.0, 0, 0, 0, 1, 0], [0, 6, 0, 0, 1, 0], [-6, -6, 0, 0, 1, 0]])


def cluster(count: int, seed: int) -> Array:
    """Draw features of a kind of image: three groups, in each of which few directions vary."""
    chance = np.random.default_rng(seed)
    rows = CENTRES[chance.integers(len(CENTRES), size=count)] + chance.normal(size=(count, 6)) * SPREAD
    features: Array = rows.astype(np.float32)
    return features


@pytest.fixture(scope="module")
def known() -> Known:
    """What three groups are known by."""
    return fit(("map",), cluster(900, 0), cluster(400, 1))


def told(known: Known, features: Array) -> Array:
    """Return the familiarity of the features."""
    found: Array = ops.convert_to_numpy(known.familiarity(features))
    return found


def test_a_share_of_the_same_kind_is_below_each_share(known: Known) -> None:
    """Of 20,000 others of the kind, about 1, 5, 20 and 50 % have a familiarity below .01, .05, .2 and .5."""
    found = told(known, cluster(20_000, 2))
    for share in (0.01, 0.05, 0.2, 0.5):
        # Of 400 validation images the i-th largest lies at a share that is off by so much.
        allowed = 3 * np.sqrt(share * (1 - share) / 400)
        assert abs(float((found < share).mean()) - share) < allowed
    assert found.min() >= 0
    assert found.max() == pytest.approx(1, abs=1e-6)


def test_validation_images_have_their_ranks(known: Known) -> None:
    """The i-th farthest of n validation images has i / (n + 1), where the familiarity is exact."""
    ranked = np.sort(told(known, cluster(400, 1)))
    for rank in (1, 2, 4, 20, 40, 200):
        assert ranked[rank - 1] == pytest.approx(rank / 401, abs=2 / 401)
    assert ranked[0] == pytest.approx(1 / 401, abs=1e-5)


@pytest.mark.parametrize(
    "strange",
    [
        [0, 0, 0, 0, 1, 0],  # between the groups, at the mean of all
        [40, 0, 0, 0, 1, 0],  # where one direction varies, but farther than ever
        [6, 0, 3, 0, 1, 0],  # where little varies
        [6, 0, 0, 0, 0, 1],  # where hardly anything varies
        [0, 0, 0, 0, 0, 0],  # a picture without any feature
        [1e4] * 6,
    ],
)
def test_what_lies_elsewhere_is_unlike(known: Known, strange: list[float]) -> None:
    """Between the groups, or off in any direction, whether it varies in training or not."""
    assert told(known, np.asarray([strange], np.float32))[0] < 0.01


def test_familiarity_never_grows_with_the_distance(known: Known) -> None:
    """From the nearest image to what is nowhere it falls from 1 to 0, without a step up."""
    line = CENTRES[:1] + np.linspace(-9, 9, 400)[:, None] * np.asarray([[1, 0.3, 0.02, 0, 0, 0]])
    rows = line.astype(np.float32)
    found = told(known, rows)[np.argsort(ops.convert_to_numpy(known.distance(rows)))]
    assert found[0] > 0.5
    assert found[-1] < 0.001
    assert np.diff(found).max() <= 1e-6


def test_bfloat16_keeps_it_within_the_tolerance(known: Known) -> None:
    """Features with 8 binary digits, as an engine in bfloat16 gives them, move it by less than is allowed."""
    from training.evaluation.familiarity import TOLERANCE

    rows = cluster(2000, 3)
    rounded = ops.convert_to_numpy(ops.cast(ops.cast(rows, "bfloat16"), "float32"))
    assert np.abs(told(known, rows) - told(known, rounded)).max() < TOLERANCE


def test_no_centre_is_an_image(known: Known) -> None:
    """One image that lies alone does not become a centre: nothing that is exported is of one image."""
    alone = np.asarray([[0, 50, 0, 0, 0, 0]], np.float32)
    train = np.concatenate([cluster(900, 0), alone])
    found = fit(("map",), train, cluster(400, 1))
    inner = (alone - found.mean) @ found.basis.astype(np.float32) @ found.whitening
    assert np.linalg.norm(found.centres - inner, axis=1).min() > 1


@pytest.mark.parametrize("count", [1, 2, 5, 30])
def test_a_few_training_images_are_enough_to_compute(count: int) -> None:
    """With fewer images than channels, or one, all is finite, and what is far is still unlike."""
    found = fit(("map",), cluster(count, 0), cluster(40, 1))
    assert np.isfinite(told(found, cluster(100, 2))).all()
    assert told(found, np.full((1, 6), 1e4, np.float32))[0] == 0


def test_channels_that_say_nothing_do_no_harm() -> None:
    """Features that are the same for all images give the same familiarity; any other image is unlike."""
    flat = np.ones((50, 4), np.float32)
    found = fit(("map",), flat, flat)
    assert len(set(told(found, flat[:3]).tolist())) == 1
    assert told(found, flat[:1] + 1)[0] == 0


@pytest.mark.parametrize(("count", "level"), [(20, 0.05), (99, 0.05), (100, 0.01), (5000, 0.01)])
def test_the_level_is_one_that_the_validation_images_can_tell(count: int, level: float) -> None:
    """Below 100 validation images none can be among the farthest hundredth."""
    assert fit(("map",), cluster(60, 0), cluster(count, 1)).level == level
    assert distance.LEVELS == (0.01, 0.05)
