"""A row with a box and its manifest make an answer that a person can read."""

import io
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from service.images.codec import Photo
from service.manifest import Input
from service.options import LocalizeOptions
from service.tasks import localization
from service.tasks.task import Row, Size
from tests.service.manifests import make_input, make_manifest

MANIFEST = make_manifest()


def scores(*values: float) -> Row:
    return {"scores": np.asarray(values, np.float32)}


def test_box_is_in_pixels_of_the_posted_image() -> None:
    """The box comes in pixels, x by the width and y by the height, and in fractions."""
    row = scores(0.1, 0.8, 0.1) | {"box": np.asarray([0.25, 0.5, 0.75, 1.0], np.float32)}
    answer = localization.localize(row, MANIFEST, LocalizeOptions(), Size(400, 100))
    assert asdict(answer.box) == {"x_min": 100, "y_min": 50, "x_max": 300, "y_max": 100}
    assert asdict(answer.box_normalized) == {"x_min": 0.25, "y_min": 0.5, "x_max": 0.75, "y_max": 1}
    assert (answer.label, answer.score, answer.width, answer.height) == ("box", 0.8, 400, 100)


def test_box_stays_within_the_image() -> None:
    """A corner that an engine places outside is moved to the edge."""
    row = scores(1, 0, 0) | {"box": np.asarray([-0.1, -1e-7, 1.5, 1.0000001], np.float32)}
    answer = localization.localize(row, MANIFEST, LocalizeOptions(), Size(40, 30))
    assert asdict(answer.box) == {"x_min": 0, "y_min": 0, "x_max": 40, "y_max": 30}


@pytest.mark.parametrize(("threshold", "label"), [(None, "box"), (0.5, "box"), (0.51, None)])
def test_localized_label_needs_the_threshold(threshold: float | None, label: str | None) -> None:
    """Below the asked threshold the label is null; the box and the score are told all the same."""
    row = scores(0.25, 0.5, 0.25) | {"box": np.asarray([0, 0, 1, 1], np.float32)}
    answer = localization.localize(row, MANIFEST, LocalizeOptions(threshold=threshold), Size(10, 10))
    assert (answer.label, answer.score, answer.box.x_max) == (label, 0.5, 10)


def test_an_answer_in_a_table_and_in_words() -> None:
    """Label, score, and the box in the image of which the size is told."""
    task = localization.LOCALIZATION
    row = scores(0.1, 0.8, 0.1) | {"box": np.asarray([0.25, 0.5, 0.75, 1.0], np.float32)}
    answer = localization.localize(row, MANIFEST, LocalizeOptions(), Size(400, 100))
    columns = ("label", "score", "x_min", "y_min", "x_max", "y_max", "width", "height")
    assert task.columns(MANIFEST) == columns
    assert task.rows(answer) == [("box", 0.8, 100, 50, 300, 100, 400, 100)]
    assert task.words(answer) == "box 0.8000 at 100, 50 to 300, 100 of 400x100"


@pytest.mark.parametrize(
    ("spec", "box", "expected"),
    [
        # 400x100 lies in rows 12 to 20 of 32, eight pixels high.
        (make_input(32, 32, 3, "letterbox"), (0.25, 0.375, 0.75, 0.625), (100, 0, 300, 100)),
        (make_input(32, 32, 3, "letterbox"), (0.25, 0.4375, 0.75, 0.5), (100, 25, 300, 50)),
        (make_input(32, 32, 3, "letterbox"), (0, 0, 1, 0.5), (0, 0, 400, 50)),
        (make_input(32, 32, 3, "letterbox"), (0, 0, 1, 0.1), (0, 0, 400, 0)),
        # Of 400x100 the middle square is x 150 to 250.
        (make_input(32, 32, 3, "crop"), (0, 0, 1, 1), (150, 0, 250, 100)),
        (make_input(32, 32, 3, "crop"), (0.5, 0.25, 0.75, 0.5), (200, 25, 225, 50)),
        (make_input(32, 32, 3, "crop", 0.5), (0, 0, 0.5, 1), (175, 25, 200, 75)),
    ],
)
def test_a_box_is_of_the_posted_image_by_every_rule(
    spec: Input, box: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    """It comes out of the frame to where it is in the image; what of it lies in the padding is cut off."""
    manifest = make_manifest(input=spec.model_dump())
    row = scores(0.1, 0.8, 0.1) | {"box": np.asarray(box, np.float32)}
    answer = localization.localize(row, manifest, LocalizeOptions(), Size(400, 100))
    assert tuple(asdict(answer.box).values()) == pytest.approx(expected, abs=0.01)
    fractions = [side / most for side, most in zip(expected, (400, 100, 400, 100), strict=True)]
    assert tuple(asdict(answer.box_normalized).values()) == pytest.approx(fractions, abs=1e-6)


@pytest.mark.parametrize("size", [(400, 100), (100, 25)])
def test_a_box_is_drawn_where_it_is_told(size: tuple[int, int]) -> None:
    """On the photo, and on a smaller copy of it, the box is where the answer says, whatever the rule."""
    manifest = make_manifest(task="localization", input=make_input(32, 32, 3, "crop").model_dump())
    row = scores(0.1, 0.8, 0.1) | {"box": np.asarray([0, 0, 1, 1], np.float32)}
    photo = Photo(Image.new("RGB", size), 400, 100)
    assert localization.LOCALIZATION.draw
    data = localization.LOCALIZATION.draw(photo, row, manifest, LocalizeOptions(overlay=True))
    drawn = np.asarray(Image.open(io.BytesIO(data)))
    columns = np.flatnonzero((drawn[-1] == (255, 176, 0)).all(axis=1))
    assert abs(columns.min() - 150 * size[0] / 400) <= 1
    assert abs(columns.max() - 250 * size[0] / 400) <= 1
