"""Masks are read as they were meant, or refused with the words that settle it: never guessed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.training.folders import load, mask_folder, palette, picture, values
from training.datasets import DatasetError, MaskValues
from training.datasets.own.masks import decide, read
from training.datasets.own.meaning import Meaning

SIDE = 80
Mask = NDArray[Any]


def disc(number: int, white: int = 255, kind: type[np.generic] = np.uint8) -> Mask:
    """Return a disc of radius 20, elsewhere for each number; 0.196 of the picture."""
    y, x = np.mgrid[:SIDE, :SIDE]
    return np.where((x - 30 - 3 * number) ** 2 + (y - 40) ** 2 < 20**2, white, 0).astype(kind)


def bands(*greys: int, kind: type[np.generic] = np.uint8) -> Mask:
    """Return a picture with a broad band of each grey below one of 0."""
    return np.repeat(np.asarray((0, *greys), kind), 20)[:, None].repeat(60, axis=1)


def smooth(number: int) -> Mask:
    image = Image.fromarray(disc(number)).resize((60, 60), Image.Resampling.BILINEAR)
    return np.asarray(image)


def meaning(
    folder: Path,
    masks: list[Mask],
    stated: MaskValues = "",
    names: tuple[str, ...] = (),
    suffix: str = "png",
    **options: Any,
) -> tuple[Meaning, list[NDArray[np.uint8]]]:
    """Save masks, read them again, and return what they mean with the class indices of each."""
    folder.mkdir(exist_ok=True)
    found = []
    for number, mask in enumerate(masks):
        path = folder / f"{number}.{suffix}"
        Image.fromarray(mask).save(path, **options)
        found.append(read(path))
    decided = decide([known for _, known in found], stated, names)
    return decided, [decided.index(pixels.astype(np.uint16), known) for pixels, known in found]


@pytest.mark.parametrize("stated", ["", "binary"])
@pytest.mark.parametrize(
    ("whites", "kind"), [((1, 255), np.uint8), ((255,), np.uint8), ((200,), np.uint8), ((65535,), np.uint16)]
)
def test_each_binary_mask_has_its_own_white(
    tmp_path: Path, whites: tuple[int, ...], kind: type[np.generic], stated: MaskValues
) -> None:
    """Whatever stands for the object, and be it different from file to file, none is lost."""
    masks = [disc(number, whites[number % len(whites)], kind) for number in range(6)]
    decided, found = meaning(tmp_path, masks, stated)
    assert decided.labels == ("background", "object")
    for number in range(6):
        assert (found[number] == (disc(number) > 0)).all()


@pytest.mark.parametrize("stated", ["", "binary"])
@pytest.mark.parametrize("quality", [50, 75, 90])
@pytest.mark.parametrize("suffix", ["jpg", "png of a jpg"])
def test_the_noise_of_a_jpeg_is_no_object(
    tmp_path: Path, suffix: str, quality: int, stated: MaskValues
) -> None:
    """Black and white in a JPEG, or in a PNG made of one, is cut at half: the disc comes back."""
    masks = [disc(number) for number in range(4)]
    if suffix != "jpg":
        for number, mask in enumerate(masks):
            Image.fromarray(mask).save(tmp_path / "noisy.jpg", quality=quality)
            masks[number] = np.asarray(Image.open(tmp_path / "noisy.jpg"))
    decided, found = meaning(tmp_path, masks, stated, suffix=suffix[:3], quality=quality)
    assert "from half of white on" in decided.note
    for number in range(4):
        assert (found[number] == (disc(number) > 0)).mean() > 0.998


@pytest.mark.parametrize("stated", ["", "binary"])
def test_smoothed_borders_are_cut_at_half(tmp_path: Path, stated: MaskValues) -> None:
    """A disc with a smoothed border keeps its area; one that is not smoothed may be among them."""
    _, found = meaning(tmp_path, [*(smooth(number) for number in range(5)), disc(0), disc(1, 1)], stated)
    for mask in found:
        assert mask.mean() == pytest.approx((disc(0) > 0).mean(), rel=0.02)


AMBIGUOUS = [
    [bands(127, 255)] * 4,
    [bands(128, 255)] * 4,
    [bands(85, 170, 255)] * 4,
    [bands(50, 100)[:, ::-1], bands(50, 100, 200)] * 2,
    [bands(1, 1000, kind=np.uint16)] * 4,
    [bands(1, 2), bands(255)] * 2,
    # So many numbers with so many gaps are neither classes that can be served nor surely objects.
    [bands(*range(number, 256, 7)) for number in range(1, 5)],
    # Thin lines of many greys are no smoothed border where there is less white than grey.
    [bands(*(grey for line in range(70, 200, 2) for grey in (line, 0)), 255)[::20].repeat(2, axis=0)] * 4,
]


@pytest.mark.parametrize("masks", AMBIGUOUS)
def test_greys_of_classes_must_be_said(tmp_path: Path, masks: list[Mask]) -> None:
    """Values with gaps up to white could mean anything: the refusal names them and the ways out."""
    with pytest.raises(
        DatasetError, match=r"values \(0, .*--masks binary, --masks classes .*--masks instances"
    ):
        meaning(tmp_path, masks)


@pytest.mark.parametrize(
    "masks",
    [
        [bands(1, 2, kind=np.uint16)] * 4,
        [bands(*range(1, 3 + number), kind=np.uint16) for number in range(4)],
        [bands(3, kind=np.uint16)] * 4,
    ],
)
def test_sixteen_bits_are_no_proof_of_objects(tmp_path: Path, masks: list[Mask]) -> None:
    """A few low values in a file of 16 bits can be classes, and must be said to be objects."""
    with pytest.raises(DatasetError, match="--masks classes or instances"):
        meaning(tmp_path, masks)
    assert len(meaning(tmp_path, masks, "classes")[0].labels) == int(max(mask.max() for mask in masks)) + 1
    assert len(meaning(tmp_path, masks, "instances")[0].labels) == 2


@pytest.mark.parametrize(
    "masks",
    [
        [bands(*range(1, 30 + number), kind=np.uint16) for number in range(4)],
        [bands(*range(1, 300, 7 + number), kind=np.uint16) for number in range(4)],
        [bands(*range(1, 150 + number)) for number in range(4)],
        [bands(*range(1, 256)), *(bands(*range(1, 100 + number)) for number in range(3))],
    ],
)
def test_many_numbers_are_objects(tmp_path: Path, masks: list[Mask]) -> None:
    """Numbers of objects are seen to be such, in 8 and 16 bits, with gaps and without."""
    decided, found = meaning(tmp_path, masks)
    assert "separate objects" in decided.note
    assert all((own == (mask > 0)).all() for own, mask in zip(found, masks, strict=True))


@pytest.mark.parametrize(
    ("greys", "stated"), [((127, 255), "classes"), ((127, 255), ""), ((10, 20), ""), ((5, 1000), "classes")]
)
def test_greys_with_names_are_classes(tmp_path: Path, greys: tuple[int, ...], stated: MaskValues) -> None:
    """As many names as values: the classes are numbered in the order of the values, and the note says so."""
    masks = [bands(*greys, kind=np.uint16 if max(greys) > 255 else np.uint8)] * 4
    decided, found = meaning(tmp_path, masks, stated, ("ground", "roof", "tree"))
    assert decided.labels == ("ground", "roof", "tree")
    assert f"0, {greys[0]}, {greys[1]}, in the order of their names" in decided.note
    assert found[0][::20, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("names", [(), ("ground", "roof", "tree", "road")])
def test_greys_need_as_many_names(tmp_path: Path, names: tuple[str, ...]) -> None:
    """Greys said to be classes are refused without a name for each, and 255 does not become background."""
    with pytest.raises(DatasetError, match=rf"gaps: 0, 127, 255\. .*need 3 names .*it has {len(names)}"):
        meaning(tmp_path, [bands(127, 255)] * 4, "classes", names)


@pytest.mark.parametrize(
    "greys", [(1, 255), (*range(1, 19), 255), (1, 2, 5, 255)], ids=["one class", "nineteen", "with a gap"]
)
def test_255_beside_classes_is_void(tmp_path: Path, greys: tuple[int, ...]) -> None:
    """In a grey mask, too, 255 beside low classes counts as background."""
    decided, found = meaning(tmp_path, [bands(*greys)] * 4)
    assert len(decided.labels) == greys[-2] + 1
    assert found[0][::20, 0].tolist() == [0, *greys[:-1], 0]


@pytest.mark.parametrize("stated", ["classes", "instances"])
@pytest.mark.parametrize(("suffix", "message"), [("jpg", r"0\.jpg is a JPEG"), ("png", "smoothed border")])
def test_blurred_masks_hold_no_numbers(tmp_path: Path, suffix: str, message: str, stated: MaskValues) -> None:
    """Values that JPEG or smoothing has changed are no classes and no objects, even where that is stated."""
    with pytest.raises(DatasetError, match=f"{message}.*cannot hold {stated}"):
        meaning(tmp_path, [smooth(number) for number in range(4)], stated, suffix=suffix)


@pytest.mark.parametrize(
    ("mask", "suffix", "message"),
    [
        (bands(1, 2), "jpg", "is a JPEG, which has changed its values"),
        (bands(127, 255), "jpg", "is a JPEG, which has changed its values"),
        (bands(40, 255), "jpg", "is a JPEG, which has changed its values"),
        (bands(1, 2), "webp", "is a lossy WebP, which has changed its values"),
        (disc(0, 1).astype(np.float32) * np.float32(0.9), "tif", "has other values than whole numbers"),
        (np.full((16, 24), np.nan, np.float32), "tif", "has other values than whole numbers"),
        (disc(0).astype(np.int32) - 1, "tif", "has other values than whole numbers"),
    ],
)
def test_masks_with_changed_values_are_faults(tmp_path: Path, mask: Mask, suffix: str, message: str) -> None:
    """Classes in a JPEG, fractions and negative numbers are named with what would be right."""
    mask_folder(tmp_path, [values(0, 1)] * 3)
    picture(tmp_path / "images" / "9.png", mask.shape[::-1])
    Image.fromarray(mask).save(tmp_path / "masks" / f"9.{suffix}")
    with pytest.raises(DatasetError, match=rf"masks/9\.{suffix}: {message}"):
        load(tmp_path, "segmentation")


def test_lossless_webp_is_a_mask(tmp_path: Path) -> None:
    """WebP without loss keeps its classes."""
    decided, found = meaning(tmp_path, [bands(1, 2)] * 3, suffix="webp", lossless=True)
    assert len(decided.labels) == 3
    assert found[0][::20, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize("greys", [(3, 200), (1, 255)])
def test_binary_masks_hold_two_values(tmp_path: Path, greys: tuple[int, ...]) -> None:
    """Two values above 0 that are no shades of one another are no binary mask, even where that is stated."""
    message = rf"0\.png holds 0, {greys[0]}, {greys[1]}: a binary mask"
    with pytest.raises(DatasetError, match=message):
        meaning(tmp_path, [bands(*greys)] * 3, "binary")


def test_a_palettes_numbers_are_no_shades(tmp_path: Path) -> None:
    """Three numbers of a palette are not cut at half of 255, even where the mask is said to be binary."""
    with pytest.raises(DatasetError, match=r"masks/0\.png holds 0, 100, 255: a binary mask"):
        load(mask_folder(tmp_path, [palette(0, 100, 255)] * 4), "segmentation", masks="binary")


def test_masks_of_one_value_tell_nothing(tmp_path: Path) -> None:
    """Masks that are white all over are refused: an alpha channel may hold what was meant."""
    with pytest.raises(DatasetError, match="All masks hold 255 alone"):
        meaning(tmp_path, [np.full((16, 24), 255, np.uint8)] * 3)


def test_palettes_keep_their_numbers(tmp_path: Path) -> None:
    """A palette's numbers are classes however high white stands in it: 255 is void, and no grey is cut."""
    splits = load(mask_folder(tmp_path, [palette(0, 1, 20, 255)] * 4), "segmentation")
    assert len(splits.labels) == 21
    assert splits.train.masks is not None
    assert np.unique(splits.train.masks).tolist() == [0, 1, 20]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ground\ncafé\ntree\n".encode("latin-1"), "is not UTF-8 text: save it as UTF-8"),
        ("ground\nroof\ntree\n".encode("utf-16"), "is not UTF-8 text: save it as UTF-8"),
        (b"ground\n\nroof\ntree\n", "line 2 is empty, so that the value 1 has no name"),
        (b"ground\nroof\nroof\n", "lines 2 and 3 both say 'roof'"),
    ],
)
def test_bad_class_names_are_refused(tmp_path: Path, text: bytes, message: str) -> None:
    """Another encoding, a gap in the list and a name given twice are told with the file and the line."""
    mask_folder(tmp_path, [values(0, 1, 2)] * 4)
    (tmp_path / "classes.txt").write_bytes(text)
    with pytest.raises(DatasetError, match=rf"classes\.txt:? {message}"):
        load(tmp_path, "segmentation")


@pytest.mark.parametrize("end", ["", "\n", "\n\n \n"])
def test_class_names_as_editors_save_them(tmp_path: Path, end: str) -> None:
    """A byte order mark, the line ends of Windows and blank lines at the end are no part of a name."""
    mask_folder(tmp_path, [values(0, 1, 2)] * 4)
    text = f"\ufeffground\nflat\u2028roof\ntree{end}".replace("\n", "\r\n")
    (tmp_path / "classes.txt").write_bytes(text.encode())
    assert load(tmp_path, "segmentation").labels == ("ground", "flat\u2028roof", "tree")
