"""Where objects touch, by hand; and that a network which tells it is measured by it."""

import keras
import numpy as np
import pytest

from training.datasets import DatasetError, Samples
from training.evaluation.evaluate import measure
from training.schema import Training
from training.tasks import borders
from training.tasks.segmentation import SEGMENTATION

SETTINGS = Training(epochs=1, batch_size=1, learning_rate=0.1, mask_border=True)


def bricks() -> Samples:
    """Two bricks of one height side by side, and one that stands alone."""
    ids = np.zeros((1, 16, 24), np.uint16)
    ids[0, 2:6, 2:12], ids[0, 2:6, 12:22], ids[0, 10:14, 2:22] = 1, 2, 3
    return Samples(np.zeros((1, 16, 24, 3), np.uint8), masks=(ids > 0).astype(np.uint8), instances=ids)


def test_a_border_is_where_two_objects_are_near() -> None:
    """Two pixels on each side of where objects touch; an object's edge to the background is none."""
    samples = bricks()
    assert samples.instances is not None
    found = borders.between(samples.instances)
    expected = np.zeros((1, 16, 24), np.uint8)
    # Above and below them both are near, too.
    expected[0, 0:8, 10:14] = 1
    assert (found == expected).all()


def test_the_loss_is_least_where_the_border_is_told() -> None:
    """The loss falls as the answer comes nearer to the truth."""
    samples = bricks()
    assert samples.instances is not None
    true = borders.between(samples.instances)
    loss = borders.border_loss()
    told, half, wrong = (
        float(np.mean(loss(true, np.where(true > 0, high, 1 - high).astype(np.float32)[..., None])))
        for high in (0.99, 0.5, 0.01)
    )
    assert told < half < wrong
    flat = loss(true, np.full(true.shape, 0.5, np.float32))
    assert float(np.mean(flat)) == pytest.approx(half)
    assert half == pytest.approx(np.log(2) * (1 + 9 * 32 / 384))


def test_touching_objects_are_measured_by_their_border() -> None:
    """Where the answer tells the border all three are found, which by the mask's shape are two."""
    samples = bricks()
    assert samples.masks is not None
    mask = samples.masks.astype(np.float32)[..., None]
    border = np.zeros_like(mask)
    border[0, 2:6, 11:13] = 0.9
    labels = ("background", "brick")
    assert measure(SEGMENTATION, [{"mask": mask}], samples, labels).figures["object_f1"] < 0.5
    told = measure(SEGMENTATION, [{"mask": mask, "border": border}], samples, labels)
    assert told.figures["object_f1"] == 1.0


def test_the_network_has_one_more_output() -> None:
    """The border is an output of one channel beside the mask, with a target of its own."""
    image = keras.layers.Input((16, 16, 8))
    outputs = SEGMENTATION.head(keras.Model(image, image), 2, SETTINGS)
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "mask": (None, 16, 16, 1),
        "border": (None, 16, 16, 1),
    }
    assert SEGMENTATION.targets(bricks(), 2, SETTINGS).keys() == {"mask", "border"}
    assert SEGMENTATION.goal(SETTINGS, 2, None)["loss"].keys() == {"mask", "border"}


def test_objects_must_be_numbered() -> None:
    """Masks that do not number objects, or have several labels, are named as the reason."""
    plain = Samples(np.zeros((1, 4, 4, 3), np.uint8), masks=np.zeros((1, 4, 4), np.uint8))
    with pytest.raises(DatasetError, match=r"training\.mask_border: .*--masks instances"):
        SEGMENTATION.targets(plain, 2, SETTINGS)
    with pytest.raises(DatasetError, match=r"of one label"):
        SEGMENTATION.targets(bricks(), 3, SETTINGS)
