"""Pictures that go out: masks as palette PNGs, and what is drawn on photos."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from service.images import pictures
from service.images.codec import Photo


def test_palette_png_keeps_the_indices() -> None:
    """A reader of the PNG finds class indices as pixel values, and the colours in its palette."""
    mask = np.random.default_rng(0).integers(0, 3, (5, 7), np.uint8)
    colours = [(0, 0, 0), (1, 2, 3), (250, 251, 252)]
    read = Image.open(io.BytesIO(pictures.palette_png(mask, colours)))
    assert read.mode == "P"
    assert (np.asarray(read) == mask).all()
    assert (np.asarray(read.convert("RGB")) == np.asarray(colours)[mask]).all()


@pytest.mark.parametrize("count", [2, 3, 4, 5, 16, 17, 128, 256])
@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 7, 8, 9, 640])
def test_palette_png_of_any_depth_and_width(count: int, width: int) -> None:
    """Whatever the number of classes and the width, another decoder reads the same indices and colours."""
    mask = np.random.default_rng(count).integers(0, count, (7, width), np.uint8)
    colours = [(index, 255 - index, index // 2) for index in range(count)]
    data = pictures.palette_png(mask, colours)
    read = Image.open(io.BytesIO(data))
    assert read.mode == "P"
    assert (np.asarray(read) == mask).all()
    by_opencv = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert (by_opencv == np.asarray(colours, np.uint8)[mask]).all()


def test_palette_png_takes_a_mask_in_any_memory_order() -> None:
    """A transposed view of a mask is written as it reads."""
    mask = np.arange(12, dtype=np.uint8).reshape(3, 4).T
    assert (np.asarray(Image.open(io.BytesIO(pictures.palette_png(mask, [(0, 0, 0)] * 12)))) == mask).all()


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_overlay_mask_paints_only_the_classes(mode: str) -> None:
    """The background stays as it was, a class is mixed half and half with its colour."""
    photo = Photo(Image.new("L", (8, 6), 100).convert(mode), 8, 6)
    mask = np.zeros((6, 8), np.uint8)
    mask[2, 3] = 1
    found = np.asarray(Image.open(io.BytesIO(pictures.overlay_mask(photo, mask, [(0, 0, 0), (200, 0, 50)]))))
    assert (found[2, 3] == (150, 50, 75)).all()
    found = np.where(mask[..., None] > 0, 100, found)
    assert (found == 100).all()


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_overlay_box_outlines_the_box(mode: str) -> None:
    """The box's edges are painted and what is far from it stays."""
    photo = Photo(Image.new(mode, (200, 160)), 200, 160)
    data = pictures.overlay_box(photo, (50.0, 40.0, 150.0, 120.0), "cat 0.97")
    found = np.asarray(Image.open(io.BytesIO(data)))
    assert found.shape == (160, 200, 3)
    assert (found[80, 50] == (255, 176, 0)).all()
    assert (found[120, 100] == (255, 176, 0)).all()
    assert (found[:38] == 0).all()


@pytest.mark.parametrize("size", [(33, 17), (160, 200)])
def test_an_overlay_is_the_photo_to_the_pixel(size: tuple[int, int]) -> None:
    """Where nothing is painted, a drawn PNG has the photo's own colours, in their order."""
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    photo = Photo(Image.fromarray(pixels), size[1], size[0])
    data = pictures.overlay_mask(photo, np.zeros(size, np.uint8), [(0, 0, 0), (1, 2, 3)])
    with Image.open(io.BytesIO(data)) as found:
        assert (found.format, found.mode) == ("PNG", "RGB")
        assert (np.asarray(found) == pixels).all()


@pytest.mark.parametrize("box", [(0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 4.0, 4.0), (4.0, 4.0, 4.0, 4.0)])
def test_overlay_box_takes_the_smallest_image(box: tuple[float, float, float, float]) -> None:
    """An image of four by four pixels and an empty box are drawn on without complaint."""
    photo = Photo(Image.new("RGB", (4, 4)), 4, 4)
    assert Image.open(io.BytesIO(pictures.overlay_box(photo, box, "?"))).size == (4, 4)
