"""Random changes to training images, with their boxes and masks, in one step inside tf.data.

Flip, rotation, zoom, aspect and shift are one projective transform per image, so that an image is sampled
once and its box and mask are carried by the same matrix. What comes in from outside is the nearest edge
pixel: mirroring would show objects that no box accounts for. A mask is mirrored along with its image where
the recipe says so.

All chance comes from a seed that is handed in, so that a batch is a function of its seed.
"""

import math
from typing import Any

import tensorflow as tf

from training.datasets.dataset import IGNORED, NOTHING
from training.inputs import mixing, photometric, randaugment
from training.inputs.chance import Chance
from training.schema import Augmentation

Batch = dict[str, Any]
"""`image` float32 `[N, H, W, C]` 0..255, and where known `scores` float32 `[N, K]` (one-hot), `box` float32
`[N, 4]` (x_min, y_min, x_max, y_max as fractions), `mask` and `border` uint8 `[N, H, W]`, `objects` float32
`[N, M, 5]` as in `Samples`."""


_RESAMPLED = ("rotation_degrees", "zoom", "aspect")
_GEOMETRIC = ("flip", "shift", *_RESAMPLED)


def augment(batch: Batch, ranges: Augmentation, seed: Any) -> Batch:
    """Return the batch with each image changed by its own chance within `ranges`; `seed` is int64 `[2]`."""
    chance = Chance(seed)
    size = tf.shape(batch["image"])
    matrices = random_matrices(size[0], ranges, chance)
    if not any(getattr(ranges, name) for name in _RESAMPLED):
        matrices = _by_whole_pixels(matrices, size[1], size[2])
    picks = None
    moves = any(getattr(ranges, name) for name in _GEOMETRIC)
    if ranges.randaugment:
        picks = randaugment.pick(size[0], ranges.randaugment, ranges.magnitude, chance)
        matrices = randaugment.geometry(picks) @ matrices
    if moves or picks:
        matrices = _for_shape(matrices, size[1], size[2])
        if "box" in batch:
            matrices = _in_sight(batch["box"], matrices)
        batch = transform(batch, matrices, "REFLECT" if ranges.mirrored_border else "NEAREST")
    image = photometric.change(batch["image"], ranges, chance)
    if picks is not None:
        image = randaugment.recolour(image, picks)
    if ranges.erase:
        image = _erase({**batch, "image": image}, ranges.erase, chance)
    batch = {**batch, "image": image}
    return mixing.mix(batch, ranges.mixup, ranges.cutmix, chance)


def random_matrices(count: Any, ranges: Augmentation, chance: Chance) -> Any:
    """Draw float32 `[N, 3, 3]` matrices that map old to new coordinates, both in -1..1 around the centre."""

    def uniform(limit: float) -> Any:
        return chance.uniform([count], -limit, limit)

    angle = uniform(math.radians(ranges.rotation_degrees))
    zoom = tf.exp(uniform(math.log1p(ranges.zoom)))
    aspect = tf.exp(uniform(math.log1p(ranges.aspect) / 2))
    flip = tf.where(chance.uniform([count]) < (0.5 if ranges.flip else 0.0), -1.0, 1.0)
    shift_x, shift_y = uniform(2 * ranges.shift), uniform(2 * ranges.shift)
    scale_x, scale_y = zoom * aspect * flip, zoom / aspect
    zero, one = tf.zeros([count]), tf.ones([count])
    rows = [
        [scale_x * tf.cos(angle), -scale_y * tf.sin(angle), shift_x],
        [scale_x * tf.sin(angle), scale_y * tf.cos(angle), shift_y],
        [zero, zero, one],
    ]
    return tf.stack([tf.stack(row, axis=-1) for row in rows], axis=1)


def _for_shape(matrices: Any, height: Any, width: Any) -> Any:
    """Turn what is drawn as for a square into the same angles in an image that is none."""
    ratio = tf.cast(height / width, tf.float32)
    return matrices * tf.stack(
        [
            tf.stack([1.0, ratio, 1.0]),
            tf.stack([1 / ratio, 1.0, 1.0]),
            tf.ones([3]),
        ]
    )


def _by_whole_pixels(matrices: Any, height: Any, width: Any) -> Any:
    """Round the shifts: images that are only mirrored and shifted stay as sharp as those of the test."""
    pixel = tf.stack([2 / width, 2 / height, 1.0])
    shifts = tf.round(matrices[:, :, 2] / tf.cast(pixel, tf.float32)) * tf.cast(pixel, tf.float32)
    return tf.concat([matrices[:, :, :2], shifts[:, :, None]], axis=2)


def transform(batch: Batch, matrices: Any, fill: str = "NEAREST") -> Batch:
    """Carry images, boxes and masks through `matrices` (see `random_matrices`).

    `fill` is the op's word for what comes in from outside, REFLECT or NEAREST, for images and masks alike.
    """
    shape = tf.shape(batch["image"])
    height, width = tf.cast(shape[1], tf.float32), tf.cast(shape[2], tf.float32)
    pixels = _pixel_transforms(matrices, height, width)
    result = {**batch, "image": _resample(batch["image"], pixels, "BILINEAR", fill)}
    for name in ("mask", "border"):
        if name in batch:
            plane = _resample(batch[name][..., None], pixels, "NEAREST", fill)
            result[name] = tf.cast(plane[..., 0], batch[name].dtype)
    if "box" in batch:
        result["box"] = carry_boxes(batch["box"], matrices)
    if "objects" in batch:
        result["objects"] = carry_objects(batch["objects"], matrices)
    return result


def _pixel_transforms(matrices: Any, height: Any, width: Any) -> Any:
    """Turn matrices into the op's form: output pixel to input pixel, eight numbers."""
    zero, one = tf.zeros([]), tf.ones([])
    to_pixels = tf.stack(
        [
            tf.stack([width / 2, zero, (width - 1) / 2]),
            tf.stack([zero, height / 2, (height - 1) / 2]),
            tf.stack([zero, zero, one]),
        ]
    )
    inverse = to_pixels @ tf.linalg.inv(matrices) @ tf.linalg.inv(to_pixels)
    flat = tf.reshape(inverse, [-1, 9])
    return flat[:, :8] / flat[:, 8:]


def _resample(images: Any, transforms: Any, interpolation: str, fill: str) -> Any:
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=transforms,
        output_shape=tf.shape(images)[1:3],
        fill_value=0.0,
        interpolation=interpolation,
        fill_mode=fill,
    )
    # The operation forgets the size, which layers such as an enlargement want to know.
    return tf.ensure_shape(moved, images.shape)


LEAST_SIGHT = 0.25
"""An image of whose box less than this part would be left in sight is not moved: its label would be a lie."""


def _in_sight(boxes: Any, matrices: Any) -> Any:
    """Return the matrices, but the identity for those that carry their box out of the image."""
    whole = _carried(boxes, matrices)
    seen = _area(tf.clip_by_value(whole, 0.0, 1.0)) / tf.maximum(_area(whole), 1e-9)
    return tf.where((seen < LEAST_SIGHT)[:, None, None], tf.eye(3), matrices)


def _area(corners: Any) -> Any:
    return tf.reduce_prod(corners[:, 2:] - corners[:, :2], axis=1)


ROUNDNESS = 1.75
"""What an object is taken for of which only the box is known: at 1 it fills the box, at 2 it is the ellipse
in it. Real outlines lie between; at this figure their boxes are right in the mean (docs/experiments.md)."""


def carry_boxes(boxes: Any, matrices: Any, roundness: float = ROUNDNESS) -> Any:
    """Return boxes `[N, 4]` carried through matrices `[N, 3, 3]`, cut at the image's edge.

    The upright box around a box's carried corners is larger than the object's wherever the object does not
    fill the corners, and a network that is trained on such boxes answers such boxes. A linear map with the
    rows (a, b) and (c, d) turns an ellipse of the half axes w and h into one of the half width
    ((a w)^2 + (b h)^2)^(1/2) and the half height ((c w)^2 + (d h)^2)^(1/2): so here, with `roundness` for 2.
    Where nothing turns or shears, boxes are exact for objects of whatever shape.
    """
    return tf.clip_by_value(_carried(boxes, matrices, roundness), 0.0, 1.0)


def _carried(boxes: Any, matrices: Any, roundness: float = ROUNDNESS) -> Any:
    corners = boxes * 2 - 1
    centre, half = (corners[:, 2:] + corners[:, :2]) / 2, (corners[:, 2:] - corners[:, :2]) / 2
    linear = matrices[:, :2, :2]
    moved = tf.linalg.matvec(linear, centre) + matrices[:, :2, 2]
    reach = tf.reduce_sum(tf.abs(linear * half[:, None, :]) ** roundness, axis=2) ** (1 / roundness)
    return (tf.concat([moved - reach, moved + reach], axis=1) + 1) / 2


def carry_objects(objects: Any, matrices: Any) -> Any:
    """Return objects `[N, M, 5]` carried like boxes.

    Of one of which less than `LEAST_SIGHT` is left in the image, what is left neither has to be found nor
    must not be; of one that has left it, nothing is.
    """
    count, most = tf.shape(objects)[0], tf.shape(objects)[1]
    boxes = tf.reshape(objects[..., :4], [-1, 4])
    whole = _carried(boxes, tf.repeat(matrices, most, axis=0))
    cut = tf.clip_by_value(whole, 0.0, 1.0)
    seen = tf.reshape(_area(cut) / tf.maximum(_area(whole), 1e-9), [count, most])
    label = objects[..., 4]
    left = tf.where(seen > 0, float(IGNORED), float(NOTHING))
    label = tf.where((label >= 0) & (seen < LEAST_SIGHT), left, label)
    return tf.concat([tf.reshape(cut, [count, most, 4]), label[..., None]], axis=2)


MOST_HIDDEN = 0.5
"""Of an object whose box or mask is known, no larger part is erased: the rest must tell what it is."""


def _erase(batch: Batch, part: float, chance: Chance) -> Any:
    """Fill one random rectangle per image, of sides up to `part` of the image, with its mean colour.

    An image whose object it would hide is left whole.
    """
    image = batch["image"]
    count = tf.shape(image)[0]
    rows, columns = (_stretch(count, part, chance) for _ in range(2))
    hole = _inside(rows, tf.shape(image)[1])[:, :, None] & _inside(columns, tf.shape(image)[2])[:, None]
    if "box" in batch:
        x_min, y_min, x_max, y_max = tf.unstack(batch["box"], axis=1)
        hidden = _covered(rows, y_min, y_max) * _covered(columns, x_min, x_max)
        hole &= (hidden <= MOST_HIDDEN)[:, None, None]
    if "mask" in batch:
        objects = batch["mask"] > 0
        seen, covered = (
            tf.reduce_sum(tf.cast(some, tf.float32), axis=(1, 2)) for some in (objects, objects & hole)
        )
        hole &= (covered <= MOST_HIDDEN * seen)[:, None, None]
    return tf.where(hole[..., None], tf.reduce_mean(image, axis=(1, 2), keepdims=True), image)


def _stretch(count: Any, longest: float, chance: Chance) -> Any:
    """Draw `[N, 2]`, begin and end of a part of a side, as fractions."""
    size = chance.uniform([count, 1], 0.0, longest)
    start = chance.uniform([count, 1]) * (1 - size)
    return tf.concat([start, start + size], axis=1)


def _inside(stretch: Any, length: Any) -> Any:
    """Return which of `length` pixels have their centre in it, `[N, length]`."""
    place = (tf.cast(tf.range(length), tf.float32)[None] + 0.5) / tf.cast(length, tf.float32)
    return (place >= stretch[:, :1]) & (place < stretch[:, 1:])


def _covered(stretch: Any, low: Any, high: Any) -> Any:
    """Return which part of low..high `[N]` a stretch covers."""
    both = tf.minimum(stretch[:, 1], high) - tf.maximum(stretch[:, 0], low)
    return tf.maximum(both, 0.0) / tf.maximum(high - low, 1e-9)
