"""Resize rules: what of an image lies where in the frame, to the pixel; boxes and masks in and out of it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service.images import fitting
from service.images.fitting import PAD, Placement, Rect
from service.manifest import Input
from service.options import SegmentOptions
from service.tasks import segmentation
from service.tasks.task import Size
from tests.images import noise
from tests.service.manifests import make_input, make_manifest
from training.datasets import framing

sides = st.integers(4, 5000)
frames = st.builds(
    lambda height, width, rule: make_input(height, width, 3, *rule),
    st.integers(8, 300),
    st.integers(8, 300),
    st.sampled_from([("stretch", 1.0), ("letterbox", 1.0), ("crop", 1.0), ("crop", 0.875), ("crop", 0.25)]),
)
fractions = st.tuples(*[st.floats(0, 1)] * 4).map(
    lambda four: (*sorted(four[:2]), *sorted(four[2:]))  # x_min, x_max, y_min, y_max
)


@pytest.mark.parametrize(
    ("size", "frame", "seen", "place"),
    [
        ((400, 200), make_input(100, 100), (0, 0, 400, 200), (0, 0, 100, 100)),
        ((400, 200), make_input(100, 100, 3, "letterbox"), (0, 0, 400, 200), (0, 25, 100, 75)),
        ((200, 400), make_input(100, 100, 3, "letterbox"), (0, 0, 200, 400), (25, 0, 75, 100)),
        ((50, 50), make_input(100, 120, 3, "letterbox"), (0, 0, 50, 50), (10, 0, 110, 100)),
        ((5000, 100), make_input(32, 32, 3, "letterbox"), (0, 0, 5000, 100), (0, 15, 32, 16)),
        ((400, 200), make_input(100, 100, 3, "crop"), (100, 0, 300, 200), (0, 0, 100, 100)),
        ((400, 201), make_input(100, 100, 3, "crop", 0.5), (150, 50, 250, 150), (0, 0, 100, 100)),
        ((400, 400), make_input(50, 100, 3, "crop"), (0, 100, 400, 300), (0, 0, 100, 50)),
    ],
)
def test_an_image_lies_where_its_rule_says(
    size: tuple[int, int], frame: Input, seen: tuple[int, ...], place: tuple[int, ...]
) -> None:
    """Stretched over all, centred in its aspect, or its middle alone, in whole pixels."""
    assert fitting.placed(size, frame) == Placement(Rect(*seen), Rect(*place))


@given(width=sides, height=sides, frame=frames)
def test_nothing_lies_outside(width: int, height: int, frame: Input) -> None:
    """Whatever the sizes, what is seen is within the image and lies within the frame, one pixel at least.

    Only `crop` leaves something out, only `letterbox` pads, each centred and keeping the aspect to a pixel.
    """
    placement = fitting.placed((width, height), frame)
    for rect, size in ((placement.seen, (width, height)), (placement.place, (frame.width, frame.height))):
        assert 0 <= rect.x_min < rect.x_max <= size[0]
        assert 0 <= rect.y_min < rect.y_max <= size[1]
        assert abs(rect.x_min - (size[0] - rect.x_max)) <= 1
        assert abs(rect.y_min - (size[1] - rect.y_max)) <= 1
    (wide, high), (across, down) = placement.seen.size, placement.place.size
    if frame.resize != "crop":
        assert (wide, high) == (width, height)
    if frame.resize != "letterbox":
        assert (across, down) == (frame.width, frame.height)
    if frame.resize == "letterbox":
        assert frame.width == across or frame.height == down
        scale = min(frame.width / width, frame.height / height)
        assert abs(across - max(1, width * scale)) <= 0.5
        assert abs(down - max(1, height * scale)) <= 0.5
    if frame.resize == "crop":
        scale = frame.crop_share * min(width / frame.width, height / frame.height)
        assert abs(wide - max(1, frame.width * scale)) <= 0.5
        assert abs(high - max(1, frame.height * scale)) <= 0.5


@given(width=sides, height=sides, frame=frames, four=fractions)
def test_a_box_comes_back_from_the_frame(
    width: int, height: int, frame: Input, four: tuple[float, float, float, float]
) -> None:
    """In and out again a box is what it was, but for what lies outside of a crop: that is cut off."""
    box = (four[0], four[2], four[1], four[3])
    framed = fitting.box_into(box, (width, height), frame)
    seen = fitting.placed((width, height), frame).seen
    again = fitting.box_out_of(framed, (width, height), frame)
    assert again == pytest.approx(box, abs=1e-9)
    # What a network answers lies within the frame.
    cut = tuple(min(1.0, max(0.0, side)) for side in framed)
    low = (seen.x_min / width, seen.y_min / height) * 2
    high = (seen.x_max / width, seen.y_max / height) * 2
    expected = [min(max(side, least), most) for side, least, most in zip(box, low, high, strict=True)]
    answered = fitting.box_out_of((cut[0], cut[1], cut[2], cut[3]), (width, height), frame)
    assert answered == pytest.approx(expected, abs=1e-9)


@given(width=sides, height=sides, frame=frames, four=fractions)
def test_a_box_in_the_padding_is_cut(
    width: int, height: int, frame: Input, four: tuple[float, float, float, float]
) -> None:
    """Wherever in the frame a network puts a box, it comes out within the image, its corners in order."""
    x_min, y_min, x_max, y_max = fitting.box_out_of(
        (four[0], four[2], four[1], four[3]), (width, height), frame
    )
    assert 0 <= x_min <= x_max <= 1
    assert 0 <= y_min <= y_max <= 1


@given(
    width=st.integers(4, 400),
    height=st.integers(4, 400),
    side=st.sampled_from([16, 33, 64]),
    resize=st.sampled_from(["stretch", "letterbox"]),
    four=fractions,
)
def test_a_mask_comes_back_from_the_frame(
    width: int, height: int, side: int, resize: str, four: tuple[float, float, float, float]
) -> None:
    """What training makes of a mask, answered perfectly, is that mask again in the posted image, but for a
    pixel of the model at its edges; the padding is nowhere in it.
    """
    if max(width, height) > 50 * min(width, height):
        return
    mask = np.zeros((height, width), np.int32)
    x_min, x_max, y_min, y_max = (
        round(part * most) for part, most in zip(four, (width, width, height, height), strict=True)
    )
    mask[y_min:y_max, x_min:x_max] = 1
    spec = make_input(side, side, 3, resize)
    manifest = make_manifest(
        task="segmentation", labels=("background", "box"), threshold=0.5, input=spec.model_dump()
    )
    framed = framing.mask_into(mask, spec)
    assert framed.shape == (side, side)
    # A network that takes the padding for an object is not answered with it.
    place = fitting.placed((width, height), spec).place
    row = np.ones((side, side, 1), np.float32)
    row[place.pixels] = framed[place.pixels][..., None]
    size = Size(width, height)
    shown = segmentation.unpadded({"mask": row}, manifest, size)
    found = segmentation.class_mask(shown, manifest, SegmentOptions(), size)
    assert found.shape == (height, width)
    # Farther than one pixel of the model from every edge, all is as it was.
    reach_x, reach_y = width / place.size[0] + 1, height / place.size[1] + 1
    xs, ys = np.arange(width), np.arange(height)
    edge_x = (np.abs(xs - x_min) <= reach_x) | (np.abs(xs - x_max) <= reach_x)
    edge_y = (np.abs(ys - y_min) <= reach_y) | (np.abs(ys - y_max) <= reach_y)
    far = ~(edge_x[None, :] | edge_y[:, None])
    assert (found[far] == mask[far]).all()


def test_a_letterboxed_image_is_grey_around() -> None:
    """The picture is resized as it ever was, centred, and each other pixel is of the one grey."""
    image = Image.fromarray(noise(60, 30))
    spec = make_input(40, 40, 3, "letterbox")
    tensor = fitting.tensor(fitting.resized(image, image.size, spec), image.size, spec)
    assert tensor.shape == (40, 40, 3)
    expected = np.asarray(image.resize((40, 20), Image.Resampling.BILINEAR))
    assert (tensor[10:30] == expected).all()
    assert (tensor[:10] == PAD).all()
    assert (tensor[30:] == PAD).all()


def test_a_crop_is_the_middle_of_the_image() -> None:
    """At the model's own scale it is the middle pixels themselves."""
    pixels = noise(60, 30)
    image = Image.fromarray(pixels)
    spec = make_input(30, 30, 3, "crop")
    tensor = fitting.tensor(fitting.resized(image, image.size, spec), image.size, spec)
    assert (tensor == pixels[:, 15:45]).all()


def test_a_smaller_copy_lies_where_its_image_lies() -> None:
    """A JPEG that is decoded at a fraction of its size, rounded up, is placed by its own size."""
    spec = make_input(16, 16, 3, "letterbox")
    copy = Image.new("RGB", (126, 63), "white")
    content = fitting.resized(copy, (1001, 497), spec)
    assert content.size == fitting.placed((1001, 497), spec).place.size == (16, 8)
    assert (fitting.tensor(content, (1001, 497), spec)[4:12] == 255).all()
    crop = make_input(16, 16, 3, "crop", 0.875)
    assert fitting.resized(copy, (1001, 497), crop).size == (16, 16)
