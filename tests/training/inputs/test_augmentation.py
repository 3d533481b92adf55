"""Image, box and mask are carried together."""

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from training.datasets.dataset import IGNORED, NOTHING
from training.inputs import randaugment
from training.inputs.augmentation import augment, random_matrices, transform
from training.inputs.chance import Chance
from training.schema import Augmentation

SEED = (3, 4)
GEOMETRY = Augmentation(flip=True, rotation_degrees=30, zoom=0.4, aspect=0.3, shift=0.2)


def _outline(power: float, size: int = 256) -> NDArray[np.uint8]:
    """Draw |x/a|^power + |y/b|^power <= 1 around the centre: 2 is an ellipse, more comes near its box."""
    y, x = np.mgrid[0:size, 0:size] * 2 / size - 1 + 1 / size
    return np.asarray((np.abs(x / 0.4) ** power + np.abs(y / 0.3) ** power <= 1)[None], np.uint8)


def _tight(mask: NDArray[Any]) -> NDArray[np.float64]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.asarray([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]) / len(mask)


_TURNING = {
    "rotation": Augmentation(rotation_degrees=30),
    "all at once": Augmentation(flip=True, rotation_degrees=20, zoom=0.2, aspect=0.3),
    "RandAugment": Augmentation(randaugment=2, magnitude=0.5),
}


@pytest.mark.parametrize("ranges", _TURNING.values(), ids=_TURNING.keys())
def test_carried_boxes_are_tight_in_the_mean(ranges: Augmentation) -> None:
    """Over objects from a rhombus over an ellipse to nearly a rectangle, whatever turns or shears them, the
    carried boxes are as large as those of the carried masks in the mean; the corners' would be 10 % larger.
    """
    masks = np.concatenate([_outline(power) for power in (1.5, 2.0, 2.0, 3.0)] * 16)
    boxes = np.stack([_tight(mask) for mask in masks]).astype(np.float32)
    batch = {"image": tf.zeros([*masks.shape, 1]), "mask": tf.constant(masks), "box": tf.constant(boxes)}
    moved = augment(batch, ranges, SEED)
    true = np.stack([_tight(mask) for mask in moved["mask"].numpy()])
    found = moved["box"].numpy()
    whole = ((true > 0) & (true < 1)).all(axis=1) & (np.abs(found - boxes) > 1e-3).any(axis=1)
    assert whole.sum() >= 30
    ratio = np.log((found[:, 2:] - found[:, :2]) / (true[:, 2:] - true[:, :2]))[whole]
    assert ratio.mean(axis=0) == pytest.approx([0, 0], abs=0.02)
    assert np.abs(ratio).max() < 0.15
    centre = ((found[:, 2:] + found[:, :2]) - (true[:, 2:] + true[:, :2]))[whole] / 2
    assert np.abs(centre).max() < 0.01


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), x=st.floats(0.35, 0.65), y=st.floats(0.35, 0.65))
def test_a_bright_square_stays_in_its_box_and_mask(seed: int, x: float, y: float) -> None:
    """Where nothing turns, the moved square's bounding box is the moved box; its mask covers it whatever the
    transform.
    """
    height, width = 80, 120
    image = np.zeros((1, height, width, 1), np.float32)
    left, top = int(x * width) - 12, int(y * height) - 8
    image[0, top : top + 16, left : left + 24] = 255
    box = np.asarray([[left / width, top / height, (left + 24) / width, (top + 16) / height]], np.float32)
    batch = {"image": tf.constant(image), "box": tf.constant(box)}
    batch["mask"] = tf.constant((image[..., 0] > 0).astype(np.uint8))
    for ranges in (GEOMETRY, GEOMETRY.model_copy(update={"rotation_degrees": 0})):
        moved = transform(batch, random_matrices(1, ranges, Chance([seed, 0])))
        bright = moved["image"].numpy()[0, ..., 0] > 127
        assert ((moved["mask"].numpy()[0] > 0) == bright).mean() > 0.98
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    found = [columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height]
    if found[0] > 0 and found[1] > 0 and found[2] < 1 and found[3] < 1:
        assert moved["box"].numpy()[0] == pytest.approx(found, abs=2.5 / height)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 6))
def test_many_boxes_are_carried_as_one_is(seed: int, count: int) -> None:
    """Each object of each image goes where its box alone would go; of one that is mostly cut away nothing is
    to be found any more, and places without an object stay without.
    """
    chance = np.random.default_rng(seed)
    low = chance.uniform(0, 0.8, (2, count, 2))
    boxes = np.concatenate([low, low + chance.uniform(0.05, 0.2, (2, count, 2))], axis=2).astype(np.float32)
    labels = chance.integers(NOTHING, 3, (2, count)).astype(np.float32)
    matrices = random_matrices(2, GEOMETRY.model_copy(update={"shift": 0.6}), Chance([seed, 2]))
    image = tf.zeros([2, 40, 40, 1])
    objects = tf.constant(np.concatenate([boxes, labels[..., None]], axis=2))
    moved = transform({"image": image, "objects": objects}, matrices)["objects"].numpy()
    for place in range(count):
        alone = transform({"image": image, "box": tf.constant(boxes[:, place])}, matrices)["box"].numpy()
        np.testing.assert_allclose(moved[:, place, :4], alone, atol=1e-6)
    gone = (moved[..., :2] >= moved[..., 2:4]).any(axis=2)
    assert (moved[gone][:, 4] == NOTHING).all()
    kept = moved[..., 4] >= 0
    assert (moved[kept][:, 4] == labels[kept]).all()
    assert (moved[labels == NOTHING][:, 4] == NOTHING).all()


def test_what_is_mostly_cut_away_does_not_count() -> None:
    """Of an object of which a third stays in the image that is learnt, of a sixth nothing is said."""
    objects = tf.constant([[[0.0, 0.4, 0.3, 0.6, 1.0]]])
    for shift, label in ((-0.2, 1.0), (-0.25, float(IGNORED)), (-0.4, float(NOTHING))):
        matrix = tf.constant([[[1.0, 0.0, 2 * shift], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]])
        moved = transform({"image": tf.zeros([1, 20, 20, 1]), "objects": objects}, matrix)["objects"]
        assert float(moved[0, 0, 4]) == label


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    point=st.tuples(st.floats(0, 0.4), st.floats(0, 2 * math.pi)),
    changes=st.integers(0, 3),
)
def test_points_carried_through_stay_in_box_and_mask(
    seed: int, point: tuple[float, float], changes: int
) -> None:
    """Any point of an ellipse, carried by the same matrix, is in the new box and labelled in the new mask.

    Points near the object's rim are left out: a mask has no finer edge than a pixel.
    """
    size = 96
    chance = Chance([seed, 1])
    matrices = random_matrices(1, GEOMETRY, chance)
    if changes:
        picks = randaugment.pick(1, changes, 0.6, chance)
        matrices = randaugment.geometry(picks) @ matrices
    mask = np.zeros((1, size, size), np.uint8)
    mask[0, 24:72, 24:72] = 2
    box = tf.constant([[0.25, 0.25, 0.75, 0.75]])
    out = transform({"image": tf.zeros([1, size, size, 1]), "mask": tf.constant(mask), "box": box}, matrices)
    radius, angle = point
    place = [radius * math.cos(angle), radius * math.sin(angle), 1.0]
    moved = (matrices.numpy()[0] @ np.asarray(place))[:2]
    if abs(moved).max() >= 1:
        return
    x, y = (moved + 1) / 2
    x_min, y_min, x_max, y_max = out["box"].numpy()[0]
    assert x_min - 1e-5 <= x <= x_max + 1e-5
    assert y_min - 1e-5 <= y <= y_max + 1e-5
    assert out["mask"].numpy()[0, int(y * size), int(x * size)] == 2


def test_boxes_stay_within_the_image() -> None:
    """However far things move, a box is cut at the edge and stays a box."""
    box = tf.constant([[0.0, 0.1, 0.9, 1.0]] * 64)
    batch = {"image": tf.zeros([64, 16, 16, 3]), "box": box}
    moved = augment(batch, GEOMETRY, SEED)["box"].numpy()
    assert moved.min() >= 0
    assert moved.max() <= 1
    assert (moved[:, 2:] >= moved[:, :2]).all()


def test_a_box_is_not_carried_out_of_sight() -> None:
    """A small object in a corner stays in sight, a quarter of it at least, whatever the chance."""
    count = 500
    image = np.zeros((count, 40, 40, 1), np.float32)
    box = np.tile(np.asarray([[0, 0, 0.1, 0.1]], np.float32), (count, 1))
    ranges = Augmentation(rotation_degrees=10, zoom=0.2, shift=0.1)
    batch = {"image": tf.constant(image), "box": tf.constant(box)}
    moved = augment(batch, ranges, [5, 6])["box"].numpy()
    sides = moved[:, 2:] - moved[:, :2]
    # The smallest that a box of 0.1 can be, of which a quarter is seen.
    assert (sides.prod(axis=1) > 0.25 * (0.1 / 1.2) ** 2 - 1e-6).all()
    still = (np.abs(moved - box) < 1e-6).all(axis=1).mean()
    assert 0.1 < still < 0.5


def test_no_ranges_change_nothing() -> None:
    """Without any range the batch comes back as it was."""
    chance = np.random.default_rng(0)
    image = tf.constant(chance.uniform(0, 255, (4, 20, 30, 3)).astype(np.float32))
    mask = tf.constant(chance.integers(0, 3, (4, 20, 30)).astype(np.uint8))
    out = augment({"image": image, "mask": mask}, Augmentation(), SEED)
    assert np.abs(out["image"].numpy() - image.numpy()).max() < 0.01
    assert (out["mask"].numpy() == mask.numpy()).all()
    assert out["mask"].dtype == tf.uint8


def test_flip_mirrors_image_box_and_mask() -> None:
    """A mirrored image has its mask mirrored and the box's left and right exchanged."""
    image = tf.reshape(tf.range(24, dtype=tf.float32), [1, 4, 6, 1])
    batch = {
        "image": image,
        "mask": tf.cast(image[..., 0] % 3, tf.uint8),
        "box": tf.constant([[0.1, 0.2, 0.4, 0.9]]),
    }
    mirror = tf.constant([[[-1.0, 0, 0], [0, 1, 0], [0, 0, 1]]])
    out = transform(batch, mirror)
    assert np.abs(out["image"].numpy() - image.numpy()[:, :, ::-1]).max() < 0.01
    assert (out["mask"].numpy() == batch["mask"].numpy()[:, :, ::-1]).all()
    assert out["box"].numpy()[0] == pytest.approx([0.6, 0.2, 0.9, 0.9])


def test_photometric_changes_stay_in_range() -> None:
    """Brightness, contrast, saturation and erasing keep pixels within 0..255 and do change them."""
    ranges = Augmentation(brightness=0.5, contrast=0.8, saturation=1.0, erase=0.5)
    image = tf.random.stateless_uniform([8, 16, 16, 3], [1, 2], 0, 255)
    out = augment({"image": image}, ranges, SEED)["image"].numpy()
    assert out.min() >= 0
    assert out.max() <= 255
    assert (abs(out - image.numpy()).reshape(8, -1).mean(axis=1) > 1).all()


def test_erasing_hides_no_object() -> None:
    """Half of each box, and of each mask, is left to be seen, however large the holes; elsewhere they are."""
    count, side = 400, 40
    chance = np.random.default_rng(0)
    low = chance.uniform(0, 0.7, (count, 2))
    boxes = np.hstack([low, low + chance.uniform(0.1, 0.3, (count, 2))]).astype(np.float32)
    place = (np.arange(side) + 0.5) / side
    columns = (place > boxes[:, :1]) & (place < boxes[:, 2:3])
    rows = (place > boxes[:, 1:2]) & (place < boxes[:, 3:])
    objects = rows[:, :, None] & columns[:, None]
    image = np.where(objects, 255.0, 0.0)[..., None].astype(np.float32)
    ranges = Augmentation(erase=0.9)
    for key, truth in (("box", boxes), ("mask", objects.astype(np.uint8))):
        out = augment({"image": tf.constant(image), key: tf.constant(truth)}, ranges, SEED)["image"].numpy()
        seen = ((out[..., 0] == 255) & objects).sum(axis=(1, 2)) / objects.sum(axis=(1, 2))
        assert seen.min() >= (0.5 if key == "mask" else 0.4)  # a box's edge lies within a pixel
        assert (out != image).any(axis=(1, 2, 3)).mean() > 0.5
        assert (seen < 1).sum() > 20


def test_mixup_blends_images_and_scores_alike() -> None:
    """The share of each class in the scores is the share of its image in the blend."""
    images = tf.stack([tf.zeros([4, 4, 1]), tf.fill([4, 4, 1], 200.0)])
    out = augment({"image": images, "scores": tf.eye(2)}, Augmentation(mixup=1.0), SEED)
    share = out["scores"].numpy()[:, 1]
    assert out["image"].numpy()[:, 0, 0, 0] == pytest.approx(share * 200, abs=0.01)
    assert out["scores"].numpy().sum(axis=1) == pytest.approx([1, 1])


@pytest.mark.parametrize(("height", "width"), [(32, 32), (27, 40)])
def test_what_is_only_mirrored_and_shifted_stays_sharp(height: int, width: int) -> None:
    """No pixel is a blend of others: each line of the result is a line of the image, or its edge repeated."""
    noise = np.random.default_rng(0).uniform(0, 255, (20, height, width, 1)).astype(np.float32)
    batch = augment({"image": tf.constant(noise)}, Augmentation(flip=True, shift=0.2), SEED)
    changed = batch["image"].numpy()
    assert (changed != noise).any(axis=(1, 2, 3)).sum() > 15
    for after, before in zip(changed, noise, strict=True):
        assert np.isin(after.round(2), before.round(2)).all()


def test_a_rotation_is_one_in_an_image_of_any_shape() -> None:
    """A square of pixels stays one: in a long image angles are as true as in a square one."""
    height, width = 64, 256
    image = np.zeros((1, height, width, 1), np.float32)
    image[0, 20:44, 116:140] = 255
    for number in range(5):
        moved = augment({"image": tf.constant(image)}, Augmentation(rotation_degrees=40), (number, 1))[
            "image"
        ].numpy()[0, ..., 0]
        rows, columns = np.nonzero(moved > 127)
        assert len(rows) == pytest.approx(24 * 24, rel=0.05)
        assert np.ptp(rows) == pytest.approx(np.ptp(columns), abs=2)
