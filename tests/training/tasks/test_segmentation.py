"""A class for every pixel, against numbers worked out by hand."""

import numpy as np
import pytest

from training.datasets import Samples
from training.evaluation.evaluate import measure
from training.tasks.segmentation import SEGMENTATION


def test_measures_of_a_mask_by_hand() -> None:
    """Dice and mean IoU over all pixels: 3 hits, 1 false alarm, 1 miss, 4 right rejections."""
    true = np.asarray([[[1, 1, 1], [1, 0, 0], [0, 0, 0]]], np.uint8)
    found = np.asarray([[[1, 1, 1], [0, 1, 0], [0, 0, 0]]], np.float32)[..., None]
    samples = Samples(np.zeros((1, 3, 3, 1), np.uint8), masks=true)
    result = measure(SEGMENTATION, [{"mask": found}], samples, ("background", "nucleus"))
    assert result.headline == "dice"
    assert result.figures["dice"] == pytest.approx(6 / 8)
    assert result.figures["mean_iou"] == pytest.approx((3 / 5 + 4 / 6) / 2)


def test_no_pixel_of_the_padding_is_kept_for_calibration() -> None:
    """The probabilities that the temperature is fitted on are of images, not of what is grey around them."""
    masks = np.zeros((2, 4, 4), np.uint8)
    masks[:, 1:3] = 1
    contents = np.asarray([[0, 1, 4, 3], [0, 1, 4, 3]], np.int32)
    samples = Samples(np.zeros((2, 4, 4, 3), np.uint8), masks=masks, contents=contents)
    answers = np.zeros((2, 4, 4, 1), np.float32)
    answers[:, 1:3] = 0.75
    found = SEGMENTATION.collect([{"mask": answers[:1]}, {"mask": answers[1:]}], samples)
    assert found.rows == pytest.approx(np.asarray([[0.25, 0.75]] * 16))
    assert (found.true == 1).all()


def test_undecided_pixels_widen_the_tolerance() -> None:
    """Of a mask, as many pixels may turn as 0.02 of probability turns; 1 % at least, 10 % at most."""
    sure, half = np.full((2, 10, 10, 1), 0.9, np.float32), np.full((2, 10, 10, 1), 0.9, np.float32)
    half[1, 0, :5] = 0.485
    assert SEGMENTATION.tolerance({"mask": sure}) == {"mask": 0.01}
    assert SEGMENTATION.tolerance({"mask": half}) == {"mask": pytest.approx(0.05)}
    assert SEGMENTATION.tolerance({"mask": np.full((1, 4, 4, 3), 1 / 3, np.float32)}) == {"mask": 0.1}


def test_the_truth_is_drawn_beside_the_answer_where_it_is_given() -> None:
    """Truth left, answer right; without it the answer alone."""
    image = np.full((4, 4, 3), 200, np.uint8)
    outputs = {"mask": np.ones((1, 4, 4, 1), np.float32)}
    truth = Samples(image[None], masks=np.zeros((1, 4, 4), np.uint8))
    both = SEGMENTATION.draw(image, outputs, truth)
    assert both.shape == (4, 8, 3)
    assert (both[:, :4] == 200).all()
    assert (both[:, 4:] == SEGMENTATION.draw(image, outputs, None)).all()
    assert (both[:, 4:] != 200).any()
