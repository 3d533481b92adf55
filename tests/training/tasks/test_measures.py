"""Figures of answers that are known beforehand."""

import numpy as np
import pytest

from training.datasets import Samples
from training.tasks import measures


def test_classes_that_are_nowhere_have_no_say_in_masks() -> None:
    """Perfect answers are 1, whatever labels there are besides; a class that is only answered counts 0."""
    masks = np.zeros((3, 8, 8), np.uint8)
    masks[:, :4] = 2
    samples = Samples(np.zeros((3, 8, 8, 3), np.uint8), masks=masks)
    figures, intervals, per_class, _ = measures.measure_masks(masks, samples, ("a", "b", "c", "d"))
    assert figures["mean_iou"] == 1.0
    assert intervals == {}
    assert per_class.keys() == {"a", "c"}
    wrong = np.where(masks == 2, 2, 3).astype(np.uint8)
    figures, *_ = measures.measure_masks(wrong, samples, ("a", "b", "c", "d"))
    assert figures["mean_iou"] == pytest.approx(1 / 3)


def test_a_resample_without_a_class_has_no_say_in_it() -> None:
    """Where one of 41 answers is wrong, no resample takes the class of one image for a failure."""
    true = np.asarray([0] * 20 + [1] * 20 + [2])
    answered = true.copy()
    answered[0] = 1
    figures, intervals, *_ = measures.measure_scores(np.eye(3)[answered], true, ("a", "b", "c"))
    assert figures["macro_f1"] == pytest.approx((38 / 39 + 40 / 41 + 1) / 3)
    low, high = intervals["macro_f1"]
    assert 0.9 < low < figures["macro_f1"] < high <= 1.0


def test_of_a_class_without_images_nothing_is_told() -> None:
    """It is in no mean and in no row; but one that was answered is there, with its false alarms."""
    true = np.asarray([0, 0, 1])
    _, _, per_class, _ = measures.measure_scores(np.eye(4)[[0, 2, 1]], true, ("a", "b", "c", "d"))
    assert per_class.keys() == {"a", "b", "c"}
    assert per_class["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "count": 0.0}


def test_top_five_of_many_classes() -> None:
    """The true label among the five best scores counts, the sixth does not."""
    scores = np.tile(np.arange(12.0)[::-1], (2, 1))
    figures, *_ = measures.measure_scores(scores, np.asarray([4, 5]), tuple("abcdefghijkl"))
    assert figures["top5_accuracy"] == 0.5
    assert figures["accuracy"] == 0.0


def test_a_bias_of_boxes_is_told_from_their_scatter() -> None:
    """Boxes that are a fifth too wide, an eighth too low and lie to the right say so, though some are larger
    and some smaller; without bias the mean is 0, and a box without a side has one of a thousandth.
    """
    chance = np.random.default_rng(0)
    sides = chance.uniform(0.2, 0.3, (400, 2))
    centre = chance.uniform(0.4, 0.6, (400, 2))
    scatter = np.exp(chance.permutation(np.linspace(-0.2, 0.2, 400)))[:, None]
    wrong = sides * scatter * (1.2, 0.875)
    shifted = centre + (0.1, 0.0) * sides
    true = np.hstack([centre - sides / 2, centre + sides / 2]).astype(np.float32)
    found = np.hstack([shifted - wrong / 2, shifted + wrong / 2]).astype(np.float32)
    intervals: dict[str, tuple[float, float]] = {}
    figures = measures.measure_bias(found, true, intervals)
    assert figures == pytest.approx(
        {
            "log_width_bias": np.log(1.2),
            "log_height_bias": np.log(0.875),
            "centre_x_bias": 0.1,
            "centre_y_bias": 0.0,
        },
        abs=1e-5,
    )
    low, high = intervals["log_width_bias"]
    assert 0.15 < low < np.log(1.2) < high < 0.22
    fair = np.hstack([centre - sides * scatter / 2, centre + sides * scatter / 2]).astype(np.float32)
    assert measures.measure_bias(fair, true, {})["log_width_bias"] == pytest.approx(0, abs=1e-5)
    nothing = true[:1].copy()
    nothing[:, 2] = nothing[:, 0]
    wide = float(true[0, 2] - true[0, 0])
    assert measures.measure_bias(nothing, true[:1], {})["log_width_bias"] == pytest.approx(
        np.log(1e-3 / wide)
    )


def test_class_map_of_three_classes_is_the_most_probable() -> None:
    """Of several channels the largest wins."""
    probabilities = np.asarray([[[[0.2, 0.5, 0.3], [0.6, 0.1, 0.3]]]], np.float32)
    assert measures.class_map(probabilities).tolist() == [[[1, 0]]]


def test_padding_is_no_part_of_a_figure() -> None:
    """What is answered beside a letterboxed image is shown to nobody, and neither right nor wrong."""
    chance = np.random.default_rng(0)
    true = (chance.random((3, 8, 16)) < 0.4).astype(np.uint8)
    found = (chance.random((3, 8, 16)) < 0.4).astype(np.uint8)
    numbers = (true * 1).astype(np.uint16)
    plain = Samples(np.zeros((3, 8, 16, 3), np.uint8), masks=true, instances=numbers)
    padding = ((0, 0), (4, 4), (0, 0))
    framed = Samples(
        np.zeros((3, 16, 16, 3), np.uint8),
        masks=np.pad(true, padding),
        instances=np.pad(numbers, padding),
        contents=np.asarray([[0, 4, 16, 12]] * 3, np.int32),
    )
    labels = ("background", "nucleus")
    expected = measures.measure_masks(found, plain, labels)
    told = measures.measure_masks(np.pad(found, padding, constant_values=1), framed, labels)
    assert told[0] == expected[0]
    assert told[2] == expected[2]
    assert (told[3] == expected[3]).all()
    quality = measures.mask_quality(np.pad(found, padding, constant_values=1), framed)
    assert quality == pytest.approx(measures.mask_quality(found, plain))


def test_boxes_are_cut_at_the_edges_of_their_images() -> None:
    """As they are served: what reaches into the padding of a letterboxed image is left off, one or many."""
    images = np.zeros((2, 20, 40, 3), np.uint8)
    contents = np.asarray([[10, 0, 30, 20], [0, 5, 40, 15]], np.int32)
    boxes = np.asarray([[0, 0, 0.5, 1], [0.1, 0.5, 1, 1]], np.float32)
    expected = np.asarray([[0.25, 0, 0.5, 1], [0.1, 0.5, 1, 0.75]], np.float32)
    samples = Samples(images, contents=contents)
    np.testing.assert_allclose(measures.in_sight(boxes, samples), expected)
    np.testing.assert_allclose(measures.in_sight(boxes[:, None], samples), expected[:, None])
    assert measures.in_sight(boxes, Samples(images)) is boxes
