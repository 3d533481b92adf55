"""Parts of a frame that are covered: which, with what, and what is told of each cell."""

import numpy as np
import pytest

from service.images.covering import Covering
from service.images.fitting import Rect


@pytest.mark.parametrize(
    ("place", "cells", "shape"),
    [
        (Rect(0, 0, 16, 16), 8, (8, 8)),
        (Rect(2, 5, 14, 11), 3, (3, 3)),
        # No cell without a pixel: a place that is very narrow has fewer.
        (Rect(0, 7, 16, 8), 4, (1, 4)),
        (Rect(7, 7, 8, 8), 16, (1, 1)),
    ],
)
def test_every_pixel_of_the_place_is_covered_and_no_other(
    place: Rect, cells: int, shape: tuple[int, int]
) -> None:
    """Each copy differs from the image in one patch, which has the mean colour of the place; together they
    cover all of it, and never what lies around.
    """
    tensor = np.random.default_rng(0).integers(0, 100, (16, 16, 3), np.uint8)
    tensor[place.pixels] += 100
    mean = tensor[place.pixels].mean((0, 1)).round().astype(np.uint8)
    before = tensor.copy()
    covering = Covering(place, cells)
    copies = list(covering.covered(tensor))
    assert covering.shape == shape
    assert len(copies) == max(1, shape[0] - 1) * max(1, shape[1] - 1)
    touched = np.zeros((16, 16), bool)
    for copy in copies:
        changed = (copy != tensor).any(-1)
        assert (copy[changed] == mean).all()
        touched |= (copy == mean).all(-1)
    inside = np.zeros((16, 16), bool)
    inside[place.pixels] = True
    assert (touched == inside).all()
    assert (tensor == before).all()


def test_a_cell_has_the_mean_of_the_patches_over_it() -> None:
    """A corner of one, the middle of four."""
    found = np.array([1, 2, 3, 4], np.float32)
    told = Covering(Rect(0, 0, 9, 9), 3).spread(found)
    assert told.tolist() == [[1.0, 1.5, 2.0], [2.0, 2.5, 3.0], [3.0, 3.5, 4.0]]
    assert Covering(Rect(0, 0, 1, 1), 8).spread(found[:1]).tolist() == [[1.0]]
