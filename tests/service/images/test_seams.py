"""Boxes of tiles become boxes of the image: each object once, whole, wherever the seams are."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.images import seams, tiling
from service.images.seams import Merge
from service.images.tiling import Tiling

Box = tuple[float, float, float, float]
Numbers = NDArray[np.float64]


def seen(plan: Tiling, objects: Numbers, labels: Sequence[int], jitter: float = 0, seed: int = 0) -> Merge:
    """Merge what a perfect network sees: in each tile the part of each object that lies in it."""
    chance = np.random.default_rng(seed)
    merge = Merge(plan)
    for corner in plan.corners:
        low, high = np.asarray(corner), np.asarray(corner) + plan.tile
        parts = np.hstack([np.maximum(objects[:, :2], low), np.minimum(objects[:, 2:], high)])
        visible = (parts[:, 2:] - parts[:, :2] > 0).all(axis=1)
        parts = parts[visible] + chance.uniform(-jitter, jitter, (int(visible.sum()), 4))
        framed = np.clip((parts - [*low, *low]) / [*plan.tile, *plan.tile], 0, 1)
        scores = chance.uniform(0.5, 1, len(framed))
        merge.add(corner, framed, scores, np.asarray(labels)[visible])
    return merge


def found(merge: Merge, plan: Tiling) -> dict[int, list[Numbers]]:
    """Return the boxes in pixels, by their labels."""
    boxes, scores, labels = merge.answer()
    assert (np.diff(scores) <= 0).all()
    assert ((boxes >= 0) & (boxes <= 1)).all()
    by_label: dict[int, list[Numbers]] = {}
    for box, label in zip(boxes * (plan.size * 2), labels.tolist(), strict=True):
        by_label.setdefault(label, []).append(box)
    return by_label


plans = st.builds(
    lambda size, tile, share: tiling.tiled(size, (tile, tile), int(share * tile)),
    st.tuples(st.integers(20, 180), st.integers(20, 180)),
    st.integers(32, 100),
    st.floats(0.2, 0.5),
)


def boxes_within(plan: Tiling, largest: float, seed: int, count: int) -> Numbers:
    """Draw boxes of whole pixels in the image, no side above `largest`."""
    chance = np.random.default_rng(seed)
    sides = np.minimum(chance.integers(1, max(1, int(largest)) + 1, (count, 2)), plan.size)
    lows = np.floor(chance.random((count, 2)) * (np.asarray(plan.size) - sides + 1))
    return np.hstack([lows, lows + sides]).astype(np.float64)


@given(plan=plans, seed=st.integers(0, 2**16), count=st.integers(1, 30))
def test_objects_within_the_overlap_are_found_once_and_whole(plan: Tiling, seed: int, count: int) -> None:
    """However many, wherever seams cut them, over each other or not: each box is exactly its object's."""
    objects = boxes_within(plan, plan.overlap - 2 * max(1, plan.tile[0] / 64) - 1, seed, count)
    # A label each: two objects of one label over each other by half could not be told from one seen twice.
    answered = found(seen(plan, objects, range(count)), plan)
    assert sorted(answered) == list(range(count))
    for label, boxes in answered.items():
        assert len(boxes) == 1
        assert boxes[0] == pytest.approx(objects[label], abs=1e-6)


@given(plan=plans, seed=st.integers(0, 2**16), count=st.integers(1, 8))
def test_objects_larger_than_the_overlap_are_joined(plan: Tiling, seed: int, count: int) -> None:
    """Up to the size of the image: what no tile sees whole is put together of its parts."""
    objects = boxes_within(plan, max(plan.size), seed, count)
    answered = found(seen(plan, objects, range(count)), plan)
    assert sorted(answered) == list(range(count))
    for label, boxes in answered.items():
        assert len(boxes) == 1
        assert boxes[0] == pytest.approx(objects[label], abs=1e-6)


@given(
    plan=plans,
    side=st.integers(4, 12),
    gap=st.integers(0, 6),
    labels=st.integers(1, 3),
    seed=st.integers(0, 2**16),
)
def test_a_crowd_of_alike_objects_is_counted(
    plan: Tiling, side: int, gap: int, labels: int, seed: int
) -> None:
    """Side by side, of one label or of a few: none is lost at a seam, none merged, none found twice."""
    assume(side <= plan.overlap - 2 * max(1, plan.tile[0] / 64) - 1)
    lefts, tops = (np.arange(0, length - side + 1, side + gap) for length in plan.size)
    lows = np.stack(np.meshgrid(lefts, tops), axis=-1).reshape(-1, 2).astype(np.float64)
    objects = np.hstack([lows, lows + side])
    named = np.random.default_rng(seed).integers(0, labels, len(objects))
    answered = found(seen(plan, objects, named.tolist(), seed=seed), plan)
    for label in range(labels):
        expected = sorted(objects[named == label].tolist())
        assert np.sort(np.asarray(answered.get(label, [])), axis=0) == pytest.approx(
            np.sort(np.asarray(expected), axis=0), abs=1e-6
        )


@given(plan=plans, seed=st.integers(0, 2**16))
def test_boxes_that_are_not_exact_are_merged_too(plan: Tiling, seed: int) -> None:
    """A network's boxes differ from tile to tile: still one for each object, and where it is."""
    largest = plan.overlap - 4 * max(1, plan.tile[0] / 64) - 1
    assume(largest > 12)
    lefts, tops = (np.arange(0, length - largest, 2 * largest) for length in plan.size)
    lows = np.stack(np.meshgrid(lefts, tops), axis=-1).reshape(-1, 2).astype(np.float64)
    objects = np.hstack([lows, lows + largest])
    answered = found(seen(plan, objects, [0] * len(objects), 0.6, seed), plan)
    boxes = np.asarray(answered.get(0, [])).reshape(-1, 4)
    assert len(boxes) == len(objects)
    for each in objects:
        assert np.abs(boxes - each).max(axis=1).min() < 1.5


def test_what_one_tile_tells_apart_stays_apart() -> None:
    """Two boxes of a label over each other, as of two people, are merged across seams alone."""
    plan = tiling.tiled((100, 100), (100, 100), 20)
    merge = Merge(plan)
    boxes = np.asarray([[0.1, 0.1, 0.5, 0.5], [0.1, 0.1, 0.5, 0.52]])
    merge.add((0, 0), boxes, np.asarray([0.9, 0.8]), np.asarray([0, 0]))
    assert merge.answer()[0] == pytest.approx(boxes)


def test_the_better_of_two_tiles_is_kept() -> None:
    """Where both see the whole object, with their own scores; of two labels both are told."""
    plan = tiling.tiled((160, 100), (100, 100), 40)
    assert plan.columns == (0, 60)
    merge = Merge(plan)
    merge.add((0, 0), np.asarray([[0.7, 0.1, 0.8, 0.2]] * 2), np.asarray([0.6, 0.5]), np.asarray([0, 1]))
    merge.add((60, 0), np.asarray([[0.1, 0.1, 0.21, 0.2]]), np.asarray([0.9]), np.asarray([0]))
    boxes, scores, labels = merge.answer()
    assert (scores.tolist(), labels.tolist()) == ([0.9, 0.5], [0, 1])
    assert boxes * (160, 100, 160, 100) == pytest.approx(np.asarray([[70, 10, 81, 20], [70, 10, 80, 20]]))


def test_a_part_is_left_to_the_tile_that_sees_all() -> None:
    """Though the part has the better score, and though the other tile calls the whole something else."""
    plan = tiling.tiled((160, 100), (100, 100), 40)
    merge = Merge(plan)
    merge.add((0, 0), np.asarray([[0.45, 0.1, 0.65, 0.3]]), np.asarray([0.6]), np.asarray([1]))
    merge.add((60, 0), np.asarray([[0.0, 0.1, 0.05, 0.3]]), np.asarray([0.9]), np.asarray([0]))
    boxes, scores, labels = merge.answer()
    assert (scores.tolist(), labels.tolist()) == ([0.6], [1])
    assert boxes[0] * (160, 100, 160, 100) == pytest.approx((45, 10, 65, 30))


def test_what_lies_beyond_a_small_image_is_no_object() -> None:
    """There the tile shows the image's mirror; what comes over the edge is cut there."""
    plan = tiling.tiled((50, 40), (100, 100), 20)
    merge = Merge(plan)
    merge.add(
        (0, 0),
        np.asarray([[0.4, 0.1, 0.55, 0.2], [0.5, 0.1, 0.6, 0.2], [0.1, 0.5, 0.2, 0.6]]),
        np.asarray([0.9, 0.8, 0.7]),
        np.asarray([0, 1, 2]),
    )
    boxes, _, labels = merge.answer()
    assert labels.tolist() == [0]
    assert boxes[0] * (50, 40, 50, 40) == pytest.approx((40, 10, 50, 20))


def test_without_objects_there_are_none() -> None:
    """Of an image in which no tile has found any."""
    boxes, scores, labels = Merge(tiling.tiled((160, 100), (100, 100), 40)).answer()
    assert (boxes.shape, scores.shape, labels.shape) == ((0, 4), (0,), (0,))


def test_of_too_many_boxes_the_best_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no image takes for ever, whatever its threshold lets through."""
    monkeypatch.setattr(seams, "MOST", 3)
    merge = Merge(tiling.tiled((100, 100), (100, 100), 40))
    boxes = np.asarray([[x, 0.1, x + 0.05, 0.2] for x in (0.1, 0.2, 0.3, 0.4, 0.5)])
    merge.add((0, 0), boxes, np.asarray([0.5, 0.9, 0.6, 0.8, 0.7]), np.zeros(5, int))
    assert merge.answer()[1].tolist() == [0.9, 0.8, 0.7]
