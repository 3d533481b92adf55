"""Statistics of batch normalisation that are measured again."""

import keras
import numpy as np
import pytest

from training.fit.averaging import measure_statistics


def test_statistics_are_those_of_all_images() -> None:
    """A last batch of one image counts as one image, and what differs between batches is in the variance."""
    keras.config.set_dtype_policy("float32")
    norm = keras.layers.BatchNormalization(momentum=0.9)
    model = keras.Sequential([keras.layers.Input((3,)), norm])
    images = np.random.default_rng(0).normal((5, -2, 0), (2, 1, 3), (33, 3)).astype(np.float32)
    measure_statistics(model, [norm], [(images[:16],), (images[16:32],), (images[32:],)])
    assert np.asarray(norm.moving_mean) == pytest.approx(images.mean(axis=0), abs=1e-5)
    assert np.asarray(norm.moving_variance) == pytest.approx(images.var(axis=0), rel=1e-4)
    assert norm.momentum == 0.9
