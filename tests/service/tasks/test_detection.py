"""A row of many objects and its manifest make an answer of those that count, each in its place."""

import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import TypeAdapter

from service.errors import ParameterError
from service.images import fitting
from service.images.codec import Photo
from service.manifest import Input, Manifest
from service.options import LocalizeOptions
from service.schemas import Box, Detection
from service.tasks.detection import DETECTION, detect
from service.tasks.localization import LOCALIZATION, corners
from service.tasks.task import Row, Size
from tests.service.manifests import make_input, make_manifest

Object = tuple[float, int, tuple[float, float, float, float]]
"""Score, label, box in fractions of the frame."""

SIZE = Size(400, 100)
THREE: tuple[Object, ...] = (
    (0.9, 2, (0.25, 0.5, 0.75, 1.0)),
    (0.6, 0, (0.0, 0.0, 0.5, 0.5)),
    (0.3, 2, (0.5, 0.0, 1.0, 0.25)),
)


def manifest_of(most: int = 3, spec: Input | None = None, **changes: Any) -> Manifest:
    fields = {"task": "detection", "threshold": 0.5, "detection": {"max_objects": most}}
    return make_manifest(**fields | ({"input": spec.model_dump()} if spec else {}) | changes)


def row_of(objects: Sequence[Object], labels: Any = np.float32) -> Row:
    scores, indices, boxes = zip(*objects, strict=True)
    return {
        "boxes": np.asarray(boxes, np.float32),
        "scores": np.asarray(scores, np.float32),
        "labels": np.asarray(indices, labels),
    }


def asked(**options: Any) -> list[tuple[str, float]]:
    """Return the label and score of each of the three objects that is answered."""
    found = detect(row_of(THREE), manifest_of(), LocalizeOptions(**options), SIZE)
    return [(each.label, each.score) for each in found.objects]


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_all_objects_that_count_are_answered(kind: Any) -> None:
    """Best first, each with label and box, counted by label; the best in the fields of a single one."""
    found = detect(row_of(THREE, kind), manifest_of(), LocalizeOptions(), SIZE)
    assert [(each.label, each.score) for each in found.objects] == [("star", 0.9), ("disc", 0.6)]
    assert [corners(each.box) for each in found.objects] == [(100, 50, 300, 100), (0, 0, 200, 50)]
    assert corners(found.objects[1].box_normalized) == (0, 0, 0.5, 0.5)
    assert found.counts == {"star": 1, "disc": 1}
    assert (found.label, found.score, found.box) == ("star", 0.9, found.objects[0].box)
    assert found.box_normalized == found.objects[0].box_normalized
    assert (found.width, found.height) == (400, 100)


def test_without_an_object_the_list_is_empty() -> None:
    """The fields of a single object are null: there is none to tell of."""
    found = detect(row_of(THREE), manifest_of(), LocalizeOptions(threshold=0.95), SIZE)
    told = asdict(found)
    assert [told[name] for name in ("label", "score", "box", "box_normalized")] == [None] * 4
    assert (told["objects"], told["counts"], told["width"], told["height"]) == ((), {}, 400, 100)


def test_options_choose_among_the_objects() -> None:
    """The least score, the most objects, and labels by their names, in any order."""
    assert asked(threshold=0.25) == [("star", 0.9), ("disc", 0.6), ("star", 0.3)]
    assert asked(threshold=0.25, max_objects=1) == [("star", 0.9)]
    assert asked(threshold=0, labels="star") == [("star", 0.9), ("star", 0.3)]
    assert asked(labels="box, disc") == [("disc", 0.6)]
    assert asked(labels="star,disc,star") == [("star", 0.9), ("disc", 0.6)]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ("disk", "'disk' is no label of this model. Did you mean disc? There are: disc, box, star."),
        ("star,bux", "'bux' is no label of this model. Did you mean box?"),
        ("Star", "Did you mean star?"),
        ("star,", "'' is no label"),
        ("photograph", "'photograph' is no label of this model. There are: disc, box, star."),
    ],
)
def test_an_unknown_label_is_told_with_the_nearest(labels: str, words: str) -> None:
    """Before an image is read: an answer without what was meant would look like one."""
    with pytest.raises(ParameterError) as caught:
        DETECTION.check(LocalizeOptions(labels=labels), manifest_of())
    assert words in caught.value.detail


def test_a_label_with_a_comma_can_be_asked_for() -> None:
    """Alone; beside others it could not be told from two."""
    manifest = manifest_of(labels=("cup, empty", "cup, full", "plate"))
    DETECTION.check(LocalizeOptions(labels="cup, full"), manifest)
    found = detect(row_of(THREE), manifest, LocalizeOptions(labels="cup, empty"), SIZE)
    assert found.counts == {"cup, empty": 1}


@pytest.mark.parametrize("options", [{"labels": "disc"}, {"max_objects": 3}, {"tile": 64}])
def test_a_model_of_one_object_refuses_what_is_for_many(options: dict[str, Any]) -> None:
    """It would not do what was asked; the error names the option."""
    with pytest.raises(ParameterError, match=f"{next(iter(options))}: shapes finds one object"):
        LOCALIZATION.check(LocalizeOptions(**options), make_manifest(task="localization"))


def test_a_model_of_tiles_has_a_size_of_its_own() -> None:
    """Another cannot be asked for: what it learnt is of its own scale."""
    tiled = manifest_of(3, make_input(32, 32, 3, "tile", overlap=8))
    with pytest.raises(ParameterError, match="tile: shapes looks at every image in tiles"):
        DETECTION.check(LocalizeOptions(tile=64), tiled)
    DETECTION.check(LocalizeOptions(tile=64), manifest_of())


def test_what_is_no_object_is_not_answered() -> None:
    """A score that is shown as 0, a box without an area, a label that is none; whatever the threshold."""
    box = (0.0, 0.0, 0.5, 0.5)
    nothing = [(4e-7, 0, box), (0.9, 0, (0.5, 0.5, 0.5, 0.9)), (0.9, 3, box), (0.9, -1, box), (0.0, 0, box)]
    found = detect(row_of(nothing), manifest_of(5), LocalizeOptions(threshold=0), SIZE)
    assert found.objects == ()
    # 400 x 100 lies in rows 12 to 20 of a letterbox of 32: above it is padding.
    spec = make_input(32, 32, 3, "letterbox")
    padding = [(0.9, 0, (0.0, 0.0, 1.0, 0.3)), (0.8, 1, (0.0, 0.0, 1.0, 0.5))]
    found = detect(row_of(padding), manifest_of(2, spec), LocalizeOptions(), SIZE)
    assert [(each.label, corners(each.box)) for each in found.objects] == [("box", (0, 0, 400, 50))]


fractions = st.lists(st.floats(0, 1, width=32), min_size=2, max_size=2).map(sorted)
objects = st.tuples(st.floats(0, 1, width=32), st.integers(0, 2), fractions, fractions).map(
    lambda four: (four[0], four[1], (four[2][0], four[3][0], four[2][1], four[3][1]))
)
frames = st.sampled_from(
    [
        make_input(24, 32),
        make_input(32, 32, 3, "letterbox"),
        make_input(24, 40, 3, "crop", 0.875),
        make_input(32, 32, 3, "tile", overlap=8),
    ]
)


@given(
    many=st.lists(objects, min_size=1, max_size=40),
    spec=frames,
    size=st.builds(Size, st.integers(4, 3000), st.integers(4, 3000)),
    threshold=st.floats(0, 1),
    most=st.none() | st.integers(1, 50),
)
def test_many_boxes_come_out_as_each_alone(
    many: list[Object], spec: Input, size: Size, threshold: float, most: int | None
) -> None:
    """By every resize rule each box is where a single one would be, within the image, and none is lost."""
    options = LocalizeOptions(threshold=threshold, max_objects=most)
    found = detect(row_of(many), manifest_of(len(many), spec), options, size)
    expected = []
    for score, label, framed in many:
        box = [round(side, 6) for side in fitting.box_out_of(framed, (size.width, size.height), spec)]
        sides = (size.width, size.height) * 2
        pixels = tuple(round(part * side, 2) for part, side in zip(box, sides, strict=True))
        counts = round(score, 6) >= max(threshold, 1e-6)
        if counts and pixels[2] > pixels[0] and pixels[3] > pixels[1]:
            expected.append((round(score, 6), ("disc", "box", "star")[label], pixels))
    expected.sort(key=lambda each: (-each[0], each[2][1], each[2][0]))
    answered = [(each.score, each.label, corners(each.box)) for each in found.objects]
    assert [each[:2] for each in answered] == [each[:2] for each in expected[:most]]
    for one, other in zip(answered, expected, strict=False):
        assert one[2] == pytest.approx(other[2], abs=0.011)
        assert 0 <= one[2][0] < one[2][2] <= size.width
        assert 0 <= one[2][1] < one[2][3] <= size.height
    assert sum(found.counts.values()) == len(found.objects)
    TypeAdapter(Detection).validate_json(orjson.dumps(found))


def test_300_objects_are_all_answered() -> None:
    """In the order of their scores, each once, as JSON too."""
    chance = np.random.default_rng(0)
    lows = chance.random((300, 2)) * 0.9
    scores = np.sort(chance.uniform(0.5, 1, 300))[::-1]
    row = {"boxes": np.hstack([lows, lows + 0.1]), "scores": scores, "labels": np.arange(300) % 3}
    found = detect(
        {name: values.astype(np.float32) for name, values in row.items()},
        manifest_of(300),
        LocalizeOptions(),
        Size(1000, 1000),
    )
    told = orjson.loads(orjson.dumps(found))["objects"]
    assert [each["score"] for each in told] == pytest.approx(scores, abs=1e-6)
    assert [each["box"]["x_min"] for each in told] == pytest.approx(1000 * lows[:, 0], abs=0.01)
    assert found.counts == {"disc": 100, "box": 100, "star": 100}


def test_an_answer_in_a_table_and_in_words() -> None:
    """A row for each object, one without any for an image that has none; the counts and the best."""
    manifest = manifest_of()
    found = detect(row_of(THREE), manifest, LocalizeOptions(), SIZE)
    none = detect(row_of(THREE), manifest, LocalizeOptions(threshold=1), SIZE)
    columns = ("label", "score", "x_min", "y_min", "x_max", "y_max", "width", "height")
    assert DETECTION.columns(manifest) == columns
    assert DETECTION.rows(found) == [
        ("star", 0.9, 100, 50, 300, 100, 400, 100),
        ("disc", 0.6, 0, 0, 200, 50, 400, 100),
    ]
    assert DETECTION.rows(none) == [(None, None, None, None, None, None, 400, 100)]
    assert DETECTION.words(found) == "1 star, 1 disc; best star 0.9000 at 100, 50 to 300, 100 of 400x100"
    assert DETECTION.words(none) == "no objects"


@pytest.mark.parametrize("size", [(400, 100), (200, 50)])
def test_all_objects_are_drawn_where_they_are_told(size: tuple[int, int]) -> None:
    """On the photo, and on a smaller copy, each label in its colour; what does not count is not there."""
    photo = Photo(Image.new("RGB", size), 400, 100)
    assert DETECTION.draw
    data = DETECTION.draw(photo, row_of(THREE), manifest_of(), LocalizeOptions(overlay=True))
    drawn = np.asarray(Image.open(io.BytesIO(data)))
    assert drawn.shape == (size[1], size[0], 3)
    scale = size[0] / 400
    star, disc = (0, 158, 115), (230, 159, 0)
    columns = np.flatnonzero((drawn[-1] == star).all(axis=1))
    assert (columns.min() / scale, columns.max() / scale) == pytest.approx((100, 300), abs=3)
    rows = np.flatnonzero((drawn[:, 0] == disc).all(axis=1))
    assert rows.max() / scale == pytest.approx(50, abs=3)
    assert not (drawn[: int(20 * scale), int(360 * scale) :] == star).all(axis=-1).any()


def test_golden_rows_are_compared_by_their_objects() -> None:
    """The order of equal scores says nothing; a box that has moved, and a label that is another, does."""
    manifest = manifest_of()
    one = row_of(THREE)
    turned = {name: values[[1, 0, 2]] for name, values in one.items()}
    assert DETECTION.differences(one, turned, manifest) == {"boxes": 0, "scores": 0}
    moved = one | {"boxes": one["boxes"] + np.float32(0.015625)}
    assert DETECTION.differences(one, moved, manifest) == {"boxes": 0.015625, "scores": 0}
    named = one | {"labels": np.asarray([1, 0, 2], np.float32)}
    assert DETECTION.differences(one, named, manifest)["scores"] > 0.3


def test_facts_tell_what_decides() -> None:
    """How many at most, of the image or of each tile."""
    assert DETECTION.facts(manifest_of(300))[0][1].startswith("the 300 best of each image at most")
    tiled = manifest_of(300, make_input(32, 32, 3, "tile", overlap=8))
    assert DETECTION.facts(tiled)[0][1].startswith("the 300 best of each tile at most")
    assert "tile=N" in dict(DETECTION.facts(manifest_of()))["Large photos"]


def test_a_box_is_told_as_numbers() -> None:
    """In the order in which tables have them."""
    assert corners(Box(1, 2, 3, 4)) == (1, 2, 3, 4)
