"""What an answer that never looks at an image gets, of data whose best constant answers are known."""

import numpy as np
import pytest

from training.datasets import Samples
from training.tasks import baselines, measures
from training.tasks.baselines import Baseline


def samples(count: int, **known: object) -> Samples:
    """Return blank images with what is known of them."""
    return Samples(np.zeros((count, 8, 8, 3), np.uint8), **known)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(4))
def test_no_constant_box_is_much_better(seed: int) -> None:
    """Of scattered boxes none of thousands of others has a higher mean IoU than the one that is found."""
    chance = np.random.default_rng(seed)
    corners = np.sort(chance.random((200, 2, 2)), axis=1)
    boxes = np.hstack([corners[:, 0], corners[:, 1]]).astype(np.float32)
    best = baselines.best_box(boxes)

    def mean(box: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> float:
        return float(measures.box_overlaps(np.tile(box, (len(boxes), 1)), boxes).mean())

    rivals = np.sort(chance.random((2000, 2, 2)), axis=1).reshape(-1, 4).astype(np.float32)
    near = (best + chance.normal(0, 0.03, (2000, 4))).astype(np.float32)
    found = mean(best.astype(np.float32))
    assert found >= max(mean(box) for box in (*rivals, *near)) - 0.002
    assert found > mean(boxes.mean(axis=0))


def test_the_best_constant_mask_of_what_is_always_there() -> None:
    """Where the object is always in the same place, that place is the mask, and it is perfect."""
    masks = np.zeros((6, 8, 8), np.uint8)
    masks[:, 2:5, 3:6] = 1
    found = baselines.of_masks(masks, samples(6, masks=masks), ("background", "nucleus"))
    assert found["dice"] == Baseline(1.0, "always answering the same mask")
    assert found["mean_iou"].value == found["pixel_accuracy"].value == 1.0


def test_all_background_where_objects_are_anywhere() -> None:
    """Rare pixels anywhere: most pixels are right by background, and the best Dice by all foreground."""
    masks = (np.random.default_rng(0).random((400, 8, 8)) < 0.1).astype(np.uint8)
    instances = masks.astype(np.uint16)
    test = samples(400, masks=masks, instances=instances)
    found = baselines.of_masks(masks, test, ("background", "nucleus"))
    share = masks.mean()
    assert found["pixel_accuracy"].answer == "answering background everywhere"
    assert found["pixel_accuracy"].value == pytest.approx(1 - share)
    assert found["dice"].value >= 2 * share / (1 + share) - 1e-9
    assert found["object_f1"].value < 0.05


def test_masks_of_several_classes() -> None:
    """Of three classes, bands that never move are known by heart; there is no Dice of three."""
    masks = np.zeros((5, 9, 4), np.uint8)
    masks[:, 3:6], masks[:, 6:] = 1, 2
    found = baselines.of_masks(masks, samples(5, masks=masks), ("a", "b", "c"))
    assert found.keys() == {"mean_iou", "pixel_accuracy"}
    assert found["mean_iou"].value == 1.0


def test_figures_of_masks_are_those_of_the_evaluation() -> None:
    """A constant mask's figures are what the evaluation says of a network that always answers it."""
    masks = (np.random.default_rng(1).random((7, 8, 8)) < 0.3).astype(np.uint8)
    test = samples(7, masks=masks)
    found = baselines.of_masks(masks, test, ("background", "nucleus"))
    everywhere = np.zeros((7, 8, 8), np.uint8)
    told, *_ = measures.measure_masks(everywhere, test, ("background", "nucleus"))
    assert all(found[name].value >= told[name] - 1e-9 for name in told)


def test_padding_is_no_part_of_a_baseline() -> None:
    """A constant answer gets what it gets on the images alone, objects too."""
    masks = np.zeros((6, 8, 16), np.uint8)
    masks[:, 2:5, 3:6] = 1
    masks[:3, 2:5, 9:12] = 1
    objects = masks.astype(np.uint16)
    labels = ("background", "nucleus")
    plain = Samples(np.zeros((6, 8, 16, 3), np.uint8), masks=masks, instances=objects)
    expected = baselines.of_masks(masks, plain, labels)
    padding = ((0, 0), (4, 4), (0, 0))
    contents = np.asarray([[0, 4, 16, 12]] * 6, np.int32)
    framed = samples(6, masks=np.pad(masks, padding), instances=np.pad(objects, padding), contents=contents)
    assert framed.masks is not None
    found = baselines.of_masks(framed.masks, framed, labels, contents)
    assert found == expected
    assert found["pixel_accuracy"].value < 1
