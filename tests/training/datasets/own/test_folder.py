"""Folders of one's own: boxes, masks and parts come out right, and nothing broken is trained on."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.images import codec as served
from service.manifest import Input
from tests.training.folders import class_folders, load, mask_folder, palette, parts, picture, values
from training import drawn, golden
from training.datasets import DatasetError, MaskValues
from training.datasets.division import divide, join
from training.datasets.own.listing import PARTS
from training.datasets.reading import read_image
from training.learnable import LEARNABLE


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(24, 24), (64, 48), (300, 200)])
@pytest.mark.parametrize("kind", ["shapes", "nuclei"])
def test_images_are_read_as_the_service_reads_them(
    tmp_path: Path, kind: str, size: tuple[int, int], channels: int
) -> None:
    """In every encoding, the tensor that is trained on is the one that is answered for, to the byte."""
    width, height = size
    colour = "grey" if channels == 1 else "rgb"
    spec = Input(
        height=height, width=width, channels=channels, colour=colour, resize="stretch", normalisation=""
    )
    for sample in golden.samples(kind):
        path = tmp_path / sample.name
        path.write_bytes(sample.data)
        _, expected = served.read(sample.data, spec, 10**7, whole=False)
        assert (read_image(path, spec, channels) == expected).all(), sample.name


def test_boxes_are_fractions_of_the_upright_image(tmp_path: Path) -> None:
    """Boxes come as fractions; an image that lies on its side counts as it looks."""
    lines = ["file,x_min,y_min,x_max,y_max,label"]
    for number in range(6):
        pixels = picture(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,6,4,24.5,16,cat")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.jpg", exif=exif)
    lines.append("turned.jpg,4,6,16,24,dog")
    (tmp_path / "boxes.csv").write_text("\n".join(lines))
    with pytest.raises(DatasetError, match=r"Too few different images .*dog \(1\)"):
        load(tmp_path, "localization")
    picture(tmp_path / "8.png", (16, 24))
    picture(tmp_path / "9.png", (16, 24))
    lines += ["8.png,4,6,16,24,dog", "9.png,4,6,16,24,dog"]
    (tmp_path / "boxes.csv").write_text("\n".join(lines))
    splits = load(tmp_path, "localization")
    assert splits.labels == ("cat", "dog")
    for samples in (splits.train, splits.validation, splits.test):
        assert samples.boxes is not None
        assert samples.boxes == pytest.approx(np.asarray([[0.25, 0.25, 1, 1]] * len(samples)))


@pytest.mark.parametrize("label", ["object", "other"])
def test_boxes_of_one_label_have_no_other(tmp_path: Path, label: str) -> None:
    """No class is invented that does not exist."""
    rows = []
    for number in range(4):
        picture(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,1,1,9,9,{label}\n")
    (tmp_path / "boxes.csv").write_text("file,xmin,ymin,xmax,ymax,label\n" + "".join(rows))
    splits = load(tmp_path, "localization")
    assert splits.labels == (label,)
    assert splits.train.labels is not None
    assert not splits.train.labels.any()


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ("3,3,3,9", r"2\.png: its box \(3, 3, 3, 9\) is empty"),
        ("9,9,3,3", "has its corners reversed"),
        ("0.1,0.1,0.9,0.9", "is in fractions of width and height.*in pixels"),
        ("3,3,40,9", r"goes beyond the image, which is 24x16"),
        ("-5,3,9,9", "goes beyond"),
    ],
)
def test_bad_boxes_are_refused(tmp_path: Path, box: str, message: str) -> None:
    """A box that is empty or leaves its image is told with the image's name."""
    rows = ["1,1,9,9", "1,1,25,17", box, "1,1,9,9"]
    for number in range(4):
        picture(tmp_path / f"{number}.png")
    lines = [f"{number}.png,{row}\n" for number, row in enumerate(rows)]
    (tmp_path / "boxes.csv").write_text("file,x_min,y_min,x_max,y_max\n" + "".join(lines))
    with pytest.raises(DatasetError, match=message):
        load(tmp_path, "localization")


def test_every_box_is_checked(tmp_path: Path) -> None:
    """Bad boxes beside the largest are told too, each with its line; the image is left out with them."""
    lines = ["file,x_min,y_min,x_max,y_max", "0.png,1,1,20,15", "0.png,9,9,9,9", "0.png,35,1,44,9"]
    for number in range(4):
        picture(tmp_path / f"{number}.png")
        lines += [f"{number}.png,1,1,9,9"]
    (tmp_path / "boxes.csv").write_text("\n".join(lines))
    with pytest.raises(DatasetError) as raised:
        load(tmp_path, "localization")
    assert "0.png: its box (9, 9, 9, 9) is empty" in str(raised.value)
    assert "(boxes.csv, line 3)" in str(raised.value)
    assert "0.png: its box (35, 1, 44, 9) goes beyond the image, which is 24x16" in str(raised.value)
    assert "(boxes.csv, line 4)" in str(raised.value)
    assert sum(map(len, parts(load(tmp_path, "localization", skip_broken=True)))) == 3


def test_a_stated_size_must_be_the_images(tmp_path: Path) -> None:
    """Boxes for an image of another size, or for one lying on its side, are refused."""
    picture(tmp_path / "1.png")
    (tmp_path / "1.xml").write_text(
        "<annotation><size><width>16</width><height>24</height></size><object><name>cat</name><bndbox>"
        "<xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>"
    )
    with pytest.raises(DatasetError, match=r"1\.png: its label file says 16x24, the upright image is 24x16"):
        load(tmp_path, "localization")


@pytest.mark.parametrize(
    ("masks", "stated", "labels", "seen"),
    [
        ([values(0, 255)] * 4, "", 2, [0, 1]),
        ([values(0, 1)] * 4, "", 2, [0, 1]),
        ([values(0, 255).convert("1"), *[values(0)] * 3], "", 2, [0, 1]),
        ([values(0, 255).convert("RGB")] * 4, "", 2, [0, 1]),
        ([values(0, 255).convert("LA")] * 4, "", 2, [0, 1]),
        ([values(0, 1, 2), values(0, 2)] * 2, "", 3, [0, 1, 2]),
        ([values(1, 2, 3)] * 4, "", 4, [1, 2, 3]),
        ([palette(0, 1, 2)] * 4, "", 3, [0, 1, 2]),
        ([palette(0, 1, 255)] * 4, "", 2, [0, 1]),
        ([values(*range(20 + number), kind=np.uint16) for number in range(4)], "", 2, [0, 1]),
        ([values(0, 1), values(0, 1, 2, 3)] * 2, "instances", 2, [0, 1]),
        ([values(0, 1), values(0, 1, 2, 3)] * 2, "classes", 4, [0, 1, 2, 3]),
        ([values(0, 7)] * 4, "binary", 2, [0, 1]),
    ],
)
def test_mask_values(
    tmp_path: Path, masks: list[Image.Image], stated: MaskValues, labels: int, seen: list[int]
) -> None:
    """Binary, class, palette and instance masks become class indices; what they are is seen or stated."""
    splits = load(mask_folder(tmp_path, masks), "segmentation", masks=stated)
    found = [samples.masks for samples in (splits.train, splits.validation, splits.test)]
    assert len(splits.labels) == labels
    assert np.unique([mask for masks in found if masks is not None for mask in masks]).tolist() == seen


def test_numbered_objects_are_kept_for_the_score(tmp_path: Path) -> None:
    """Masks of instances keep their numbers beside the classes; other masks have none."""
    mask_folder(tmp_path, [values(0, 1), values(0, 1, 2, 3)] * 3)
    splits = load(tmp_path, "segmentation", masks="instances")
    kept = [samples.instances for samples in (splits.train, splits.validation, splits.test)]
    assert np.unique([mask for masks in kept if masks is not None for mask in masks]).tolist() == [0, 1, 2, 3]
    assert splits.test.masks is not None
    assert splits.test.instances is not None
    assert ((splits.test.instances > 0) == (splits.test.masks == 1)).all()
    assert load(tmp_path, "segmentation", masks="classes").test.instances is None


def test_mask_classes_have_names(tmp_path: Path) -> None:
    """`classes.txt` names them in the order of their values; too few names are refused."""
    mask_folder(tmp_path, [values(0, 1, 2)] * 4)
    (tmp_path / "classes.txt").write_text("ground\nroof\ntree\n")
    assert load(tmp_path, "segmentation").labels == ("ground", "roof", "tree")
    (tmp_path / "classes.txt").write_text("ground\nroof\n")
    with pytest.raises(DatasetError, match="names 2 classes"):
        load(tmp_path, "segmentation")


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (values(0, 1).resize((12, 8)), r"masks/3\.png: the mask is 12x8, its upright image 24x16"),
        (Image.new("RGB", (24, 16), "red"), r"masks/3\.png: is a colour picture"),
    ],
)
def test_bad_masks_are_refused(tmp_path: Path, mask: Image.Image, message: str) -> None:
    """A mask of another size and one of colours are told with their names."""
    mask_folder(tmp_path, [values(0, 1)] * 3)
    picture(tmp_path / "images" / "3.png")
    mask.save(tmp_path / "masks" / "3.png")
    with pytest.raises(DatasetError, match=message):
        load(tmp_path, "segmentation")
    assert len(load(tmp_path, "segmentation", skip_broken=True).train) == 1


def test_classes_or_objects_must_be_said(tmp_path: Path) -> None:
    """Values that could be either are refused with the option that settles it."""
    mask_folder(tmp_path, [values(0, 1), values(0, 1, 2, 3)] * 2)
    with pytest.raises(DatasetError, match="--masks classes or instances"):
        load(tmp_path, "segmentation")


def test_broken_files_are_all_named_or_left_out(tmp_path: Path) -> None:
    """Training refuses with the names of all broken files; with skip_broken the rest is taken."""
    class_folders(tmp_path, 5)
    (tmp_path / "cat" / "0.png").write_bytes(b"no picture")
    path = tmp_path / "dog" / "1.png"
    path.write_bytes(path.read_bytes()[:-400])
    picture(tmp_path / "stray.png")
    with pytest.raises(DatasetError) as raised:
        load(tmp_path, "classification")
    for name in ("cat/0.png: cannot be read", "dog/1.png: cannot be read", "stray.png: has no label"):
        assert name in str(raised.value)
    assert "faults: 3" in str(raised.value)
    splits = load(tmp_path, "classification", skip_broken=True)
    assert sum(map(len, parts(splits))) == 8


def test_copies_stay_in_one_part(tmp_path: Path) -> None:
    """The same pixels never fall into two parts, whatever the names and the encodings."""
    class_folders(tmp_path, 12)
    for number in range(6):
        for copy in ("png", "bmp", "webp"):
            path = tmp_path / "cat" / f"copy{number}.{copy}"
            pixels = np.random.default_rng(number).integers(0, 255, (16, 24, 3), np.uint8)
            Image.fromarray(pixels).save(path, lossless=True)
    found = parts(load(tmp_path, "classification"))
    for number in range(6):
        copies = {f"cat/copy{number}.{copy}" for copy in ("png", "bmp", "webp")}
        assert sum(copies <= part for part in found) == 1


def test_a_jpeg_and_its_png_are_copies(tmp_path: Path) -> None:
    """A photo that is decoded at a fraction of its size is still told to be the same as its PNG."""
    class_folders(tmp_path, 3)
    large = Image.fromarray(golden.draw_pet(np.random.default_rng(1), 640, 480))
    large.save(tmp_path / "cat" / "photo.jpg")
    Image.open(tmp_path / "cat" / "photo.jpg").save(tmp_path / "dog" / "photo.png")
    with pytest.raises(DatasetError, match=r"dog/photo\.png: is dog, but cat/photo\.jpg is the same picture"):
        load(tmp_path, "classification")


@pytest.mark.parametrize(
    ("row", "sound"), [("2,1,10,10", True), ("1,1,9,9\n6.png,2,2,4,4", True), ("9,4,20,15", False)]
)
def test_copies_have_one_box(tmp_path: Path, row: str, sound: bool) -> None:
    """The same picture with its box elsewhere is a contradiction; a pixel more or less is none."""
    lines = ["file,x_min,y_min,x_max,y_max"]
    for number in range(6):
        picture(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,1,1,9,9")
    (tmp_path / "6.png").write_bytes((tmp_path / "0.png").read_bytes())
    (tmp_path / "boxes.csv").write_text("\n".join([*lines, f"6.png,{row}"]))
    if sound:
        assert sum(map(len, parts(load(tmp_path, "localization")))) == 7
        return
    with pytest.raises(DatasetError, match=r"6\.png: has another box than 0\.png, which is the same picture"):
        load(tmp_path, "localization")


@pytest.mark.parametrize(
    ("first", "second", "stated", "sound"),
    [
        (values(0, 1), values(0, 255), "binary", True),
        (values(0, 1), values(1, 0), "", False),
        (values(0, 1, 1), values(0, 1, 0), "", False),
        (values(0, 1, 2), values(0, 2, 1), "instances", True),
        (values(0, 1, 2), values(0, 1, 1), "instances", False),
        (values(0, 1, 2), values(0, 2, 1), "classes", False),
        (palette(0, 1, 2), palette(0, 2, 1), "", False),
        (palette(0, 1, 2), palette(0, 1, 2), "", True),
    ],
)
def test_copies_have_one_mask(
    tmp_path: Path, first: Image.Image, second: Image.Image, stated: MaskValues, sound: bool
) -> None:
    """The same picture with another mask is a contradiction; objects numbered in another order are none."""
    mask_folder(tmp_path, [first] * 4 + [second])
    (tmp_path / "images" / "4.png").write_bytes((tmp_path / "images" / "0.png").read_bytes())
    if sound:
        assert sum(map(len, parts(load(tmp_path, "segmentation", masks=stated)))) == 5
        return
    with pytest.raises(
        DatasetError, match=r"images/4\.png: has another mask than images/0\.png, which is the"
    ):
        load(tmp_path, "segmentation", masks=stated)


def test_groups_stay_in_one_part(tmp_path: Path) -> None:
    """With group_by, what the expression finds in the names is never torn; a name without it is an error."""
    for label in ("cat", "dog"):
        for number in range(24):
            picture(tmp_path / label / f"patient{number // 3:02d}_{number}.png")
    found = parts(load(tmp_path, "classification", group_by=r"^(patient\d+)_"))
    patients = [{name.split("/")[1].split("_")[0] for name in part} for part in found]
    assert not patients[0] & patients[1]
    assert not patients[0] & patients[2]
    assert not patients[1] & patients[2]
    with pytest.raises(DatasetError, match=r"finds nothing in the name of .*patient"):
        load(tmp_path, "classification", group_by="track")
    with pytest.raises(DatasetError, match="not a regular expression"):
        load(tmp_path, "classification", group_by="(")


def test_the_users_own_parts_are_kept(tmp_path: Path) -> None:
    """Given parts stay; a missing one is taken from training; a copy in two parts is a leak."""
    for part in ("train", "test"):
        class_folders(tmp_path / part, 10)
    splits = load(tmp_path, "classification")
    assert all("test" in path.parts for path in splits.test.paths or ())
    assert len(splits.test) == 20
    assert len(splits.train) + len(splits.validation) == 20
    assert 2 <= len(splits.validation) <= 4
    picture(tmp_path / "train" / "cat" / "99.png", seed=1)
    picture(tmp_path / "test" / "cat" / "98.png", seed=1)
    with pytest.raises(
        DatasetError, match=r"train/cat/99\.png: is in train and, as test/cat/98\.png, in test"
    ):
        load(tmp_path, "classification")
    splits = load(tmp_path, "classification", skip_broken=True)
    assert "cat/98.png" in parts(splits)[2]
    assert "cat/99.png" not in parts(splits)[0]


def test_leaks_between_all_parts_are_named(tmp_path: Path) -> None:
    """A picture of the test is refused in validation and where no part is given, and so are its groups."""
    for part in ("train", "val", "test"):
        class_folders(tmp_path / "own" / part, 4)
    picture(tmp_path / "own" / "val" / "cat" / "98.png", seed=1)
    picture(tmp_path / "own" / "test" / "cat" / "99.png", seed=1)
    with pytest.raises(DatasetError) as raised:
        load(tmp_path / "own", "classification")
    assert "val/cat/98.png: is in validation and, as test/cat/99.png, in test: take it" in str(raised.value)
    assert "faults: 1." in str(raised.value)

    rows = ["file,x_min,y_min,x_max,y_max"]
    names = [
        *(f"images/p{number}_a.png" for number in range(12)),
        "images/test/p1_b.png",
        "images/test/c.png",
    ]
    for number, name in enumerate(names):
        picture(tmp_path / "mixed" / name, seed=7 if number in (0, 13) else None)
        rows.append(f"{name},1,1,9,9")
    (tmp_path / "mixed" / "boxes.csv").write_text("\n".join(rows))
    with pytest.raises(DatasetError, match=r"p0_a\.png: is in no part and, as images/test/c\.png, in test"):
        load(tmp_path / "mixed", "localization")
    with pytest.raises(DatasetError, match=r"p1_a\.png: is in no part and its group .*p1_b\.png, in test"):
        load(tmp_path / "mixed", "localization", group_by=r"^p?\d*")
    splits = load(tmp_path / "mixed", "localization", group_by=r"^p?\d*", skip_broken=True)
    assert [len(samples) for samples in (splits.train, splits.validation, splits.test)] == [9, 1, 2]


def test_classes_that_are_never_trained_on_are_refused(tmp_path: Path) -> None:
    """A class that is in the given test part alone could never be learnt, and is named."""
    for part in ("train", "val", "test"):
        class_folders(tmp_path / part, 3)
    picture(tmp_path / "test" / "cow" / "1.png")
    with pytest.raises(DatasetError, match="cow"):
        load(tmp_path, "classification")


def test_tiny_folders_say_what_they_need(tmp_path: Path) -> None:
    """Three different images per class are the least, one for each part; copies do not count."""
    class_folders(tmp_path, 3)
    assert [len(part) for part in parts(load(tmp_path, "classification"))] == [2, 2, 2]
    (tmp_path / "cat" / "0.png").write_bytes((tmp_path / "cat" / "1.png").read_bytes())
    with pytest.raises(DatasetError, match=r"Too few different images .*cat \(2\)\. At least 3"):
        load(tmp_path, "classification")


def test_one_class_is_none(tmp_path: Path) -> None:
    """A single class folder is refused: there is nothing to tell apart."""
    class_folders(tmp_path, 5, ("cat",))
    with pytest.raises(DatasetError, match="All images are 'cat'"):
        load(tmp_path, "classification")


def test_a_changed_folder_is_refused(tmp_path: Path) -> None:
    """A run goes on and is tested only with the files it began with."""
    class_folders(tmp_path, 4)
    before = load(tmp_path, "classification").fingerprint
    assert len(load(tmp_path, "classification", fingerprint=before).test) == 2
    picture(tmp_path / "cat" / "new.png")
    with pytest.raises(DatasetError, match="not what it was"):
        load(tmp_path, "classification", fingerprint=before)


@pytest.mark.parametrize("task", LEARNABLE)
def test_drawn_folders_are_sound(tmp_path: Path, task: str) -> None:
    """What `sample` draws can be trained on at once, is the same every time, and replaces nothing."""
    for name in ("one", "two"):
        drawn.draw_folder(tmp_path / name, task, 24)  # type: ignore[arg-type]
    one, two = (load(tmp_path / name, task) for name in ("one", "two"))
    assert (one.train.images == two.train.images).all()
    assert sum(map(len, parts(one))) == 24
    with pytest.raises(DatasetError, match="not empty"):
        drawn.draw_folder(tmp_path / "one", task, 24)  # type: ignore[arg-type]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 30), st.integers(0, 30)), max_size=80))
def test_parts_are_whole_and_complete(rows: list[tuple[int, int, int]]) -> None:
    """Whatever the classes and keys: rows with a key in common share a part, and each class is trained on."""
    groups = join([(f"a{first}", f"b{second}") for _, first, second in rows])
    try:
        found = divide([str(label) for label, _, _ in rows], groups, [None] * len(rows))
    except DatasetError:
        return
    for place in (1, 2):
        for key in {row[place] for row in rows}:
            assert len({part for row, part in zip(rows, found, strict=True) if row[place] == key}) == 1
    for label in {row[0] for row in rows}:
        assert {part for row, part in zip(rows, found, strict=True) if row[0] == label} == set(PARTS)


def test_parts_have_their_shares() -> None:
    """Of 40 and 400 images in groups of one to nine, each class gives 15 % to validation and to the test."""
    labels = ["rare"] * 40 + ["common"] * 400
    groups = [row - row % (1 + row // 50) for row in range(440)]
    found = divide(labels, groups, [None] * 440)
    for label, count in (("rare", 40), ("common", 400)):
        parts = [part for part, own in zip(found, labels, strict=True) if own == label]
        for part in ("validation", "test"):
            assert parts.count(part) == pytest.approx(0.15 * count, rel=0.1)
