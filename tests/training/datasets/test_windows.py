"""Windows of images at their own scale: by chance to train on, as the service cuts them to measure on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.images import tiling
from tests.training.sets import draw_nuclei
from training.datasets import SOURCES, DatasetError, MaskValues, Request
from training.datasets.windows import TIMES, drawn
from training.evaluation import stitching
from training.recipes import registry
from training.schema import RecipeError

REQUEST = Request("segmentation", 32, 40, 3, resize="tile", overlap=8)


def test_windows_show_images_as_they_are(tmp_path: Path) -> None:
    """Each is a part of its own image with its own mask, from the same place, whatever the image's size."""
    draw_nuclei(tmp_path)
    splits = SOURCES["nuclei"].load(tmp_path, REQUEST)
    for part in (splits.train, splits.validation, splits.test):
        assert part.images.shape[1:] == (32, 40, 3)
        assert part.paths is not None
        assert part.masks is not None
        assert part.instances is not None
        for row in range(len(part)):
            pixels = np.asarray(Image.open(part.paths[row]))
            objects = np.asarray(Image.open(tmp_path / "masks" / part.paths[row].name))
            high, wide = (min(side, most) for side, most in zip(objects.shape, (32, 40), strict=True))
            window = part.images[row, :high, :wide]
            places = [
                (y, x)
                for y in range(objects.shape[0] - high + 1)
                for x in range(objects.shape[1] - wide + 1)
                if (pixels[y, x] == window[0, 0]).all()
                and (pixels[y : y + high, x : x + wide] == window).all()
            ]
            assert len(places) == 1
            y, x = places[0]
            assert (part.instances[row, :high, :wide] == objects[y : y + high, x : x + wide]).all()
            assert ((part.instances[row] > 0) == part.masks[row]).all()


def test_images_are_divided_as_by_any_rule(tmp_path: Path) -> None:
    """An image that is tested on in tiles is not one that another run of the same set is trained on."""
    draw_nuclei(tmp_path)
    tiles = SOURCES["nuclei"].load(tmp_path, REQUEST)
    plain = SOURCES["nuclei"].load(tmp_path, Request("segmentation", 32, 32, 3))
    for part in ("train", "validation", "test"):
        assert set(getattr(tiles, part).paths) == set(getattr(plain, part).paths)


def test_what_is_measured_is_the_image_again(tmp_path: Path) -> None:
    """Tiles of the truth, put together, are the truth; perfect answers for tiles are perfect for images."""
    draw_nuclei(tmp_path)
    splits = SOURCES["nuclei"].load(tmp_path, REQUEST)
    tiles, whole = splits.test, stitching.whole(splits).test
    assert tiles.tilings is not None
    assert whole.paths is not None
    assert whole.masks is not None
    assert whole.instances is not None
    assert whole.contents is not None
    assert len(whole) == len(tiles.tilings) == len(set(whole.paths)) < len(tiles)
    assert tiles.masks is not None
    answers = ({"mask": part[..., None].astype(np.float32)} for part in np.array_split(tiles.masks, 3))
    for row, found in enumerate(stitching.stitched(answers, tiles)):
        objects = np.asarray(Image.open(tmp_path / "masks" / whole.paths[row].name))
        high, wide = objects.shape
        assert whole.contents[row].tolist() == [0, 0, wide, high]
        assert (whole.instances[row, :high, :wide] == objects).all()
        assert (whole.masks[row, :high, :wide] == (objects > 0)).all()
        assert found["mask"].shape == (1, *whole.masks.shape[1:], 1)
        assert found["mask"][0, :high, :wide, 0] == pytest.approx((objects > 0).astype(float), abs=1e-5)
    rows = stitching.tiles_of(tiles, range(len(whole)))
    assert [tiles.paths[row] for row in rows] == list(whole.paths)  # type: ignore[index]


@pytest.mark.parametrize("stated", ["instances", "classes"])
def test_own_masks_are_read_in_windows(tmp_path: Path, stated: MaskValues) -> None:
    """Of one's own folder, with what its values mean; test images put together are the files themselves."""
    draw_nuclei(tmp_path)
    request = replace(REQUEST, masks=stated)
    for _ in range(2):
        splits = SOURCES["folder"].load(tmp_path, request)
        whole = stitching.whole(splits)
        assert splits.train.tilings is None
        assert {path.parent.name for path in splits.train.paths or ()} == {"images"}
        test = whole.test
        assert test.paths is not None
        assert test.masks is not None
        assert test.instances is not None if stated == "instances" else test.instances is None
        assert len(splits.labels) == (2 if stated == "instances" else 9)
        for row, path in enumerate(test.paths):
            objects = np.asarray(Image.open(tmp_path / "masks" / path.name))
            expected = objects > 0 if stated == "instances" else objects
            high, wide = objects.shape
            assert (test.masks[row, :high, :wide] == expected).all()
    assert splits.fingerprint
    (tmp_path / "images" / "0.png").unlink()
    (tmp_path / "masks" / "0.png").unlink()
    with pytest.raises(DatasetError, match="is not what it was"):
        SOURCES["folder"].load(tmp_path, replace(request, fingerprint=splits.fingerprint))


def test_chosen_tiles_are_windows_like_others(tmp_path: Path) -> None:
    """A choice of tiles makes no image any more, and is not taken for one."""
    draw_nuclei(tmp_path)
    tiles = SOURCES["nuclei"].load(tmp_path, REQUEST).test
    assert tiles.take(np.asarray([0, 2])).tilings is None


def test_windows_are_the_same_each_time() -> None:
    """By the file's name, all within the image, and others for another file."""
    plan = tiling.tiled((100, 60), (40, 32), 8)
    corners = drawn(plan, Path("a.png"))
    assert corners == drawn(plan, Path("elsewhere/a.png")) != drawn(plan, Path("b.png"))
    assert len(corners) == TIMES * len(plan)
    assert all(0 <= x <= 60 and 0 <= y <= 28 for x, y in corners)
    assert drawn(tiling.tiled((10, 10), (40, 32), 8), Path("a.png")) == [(0, 0)] * TIMES


@pytest.mark.parametrize(
    ("recipe", "change", "message"),
    [
        ("nuclei", 'resize = "tile"\noverlap = 129', "half of a side at most"),
        ("nuclei", "overlap = 16", 'goes with resize = "tile", not with "stretch"'),
        ("digits", 'resize = "tile"', '"tile" is for segmentation'),
        ("pet-masks", 'resize = "tile"', '"tile" is for nuclei, folder, not for oxford-iiit-pet'),
    ],
)
def test_recipes_that_cannot_be_tiled_say_why(tmp_path: Path, recipe: str, change: str, message: str) -> None:
    """Tiles are for masks, and for data sets that can be read in windows."""
    text = (Path(registry.__file__).parent / f"{recipe}.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace("[input]", f"[input]\n{change}"))
    with pytest.raises(RecipeError, match=message):
        registry.load(str(path))
