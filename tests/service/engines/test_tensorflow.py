"""TensorFlow as an engine: precisions side by side in one process, and padded batches."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from service.engines import Precision, tensorflow
from tests.service import making


@pytest.fixture(scope="module")
def batch() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (5, 28, 28, 1), np.uint8)


@pytest.mark.skipif(len(tensorflow.precisions()) < 2, reason="this processor does not compute in bfloat16")
def test_precisions_do_not_mix(batch: NDArray[np.uint8]) -> None:
    """Two precisions of one model, called by turns in several threads, each give their own answers."""
    engines = {
        precision: tensorflow.load(making.shipped("digits"), precision, 2, 8)
        for precision in tensorflow.precisions()
    }

    def scores(precision: Precision) -> NDArray[np.float32]:
        return engines[precision].run(batch, False)["scores"]

    alone = {precision: scores(precision) for precision in engines}
    assert np.abs(alone["bfloat16"] - alone["float32"]).max() > 0
    order = list(engines) * 20
    with ThreadPoolExecutor(4) as threads:
        for precision, found in zip(order, threads.map(scores, order), strict=True):
            np.testing.assert_array_equal(found, alone[precision])


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_padding_changes_no_answer(batch: NDArray[np.uint8], count: int) -> None:
    """A batch compiled for more images gives the same rows as the signature itself, and no row more."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(making.shipped("digits")))
    signature = loaded.signatures["serving_default"]
    expected = signature(image=tf.constant(batch[:count]))["scores"].numpy()
    found = tensorflow.in_buckets(signature, 5)(batch[:count])["scores"].numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-5)
