"""Masks with a colour for each class: named by a legend or by themselves, refused where changed."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.sets import photo, save, write
from training.commands.inspection import inspect
from training.datasets import DatasetError, Request
from training.datasets.own.folder import load, mask_meaning
from training.datasets.own.layout import list_folder
from training.datasets.own.survey import canvas, survey

SKY, ROAD, TREE, BLACK = (128, 128, 128), (128, 64, 128), (128, 128, 0), (0, 0, 0)


def painted(colours: list[tuple[int, int, int]]) -> NDArray[np.uint8]:
    """Return RGB `[30, 40, 3]` with as many upright stripes."""
    table = np.asarray(colours, np.uint8)
    return np.repeat(table[(np.arange(40) * len(colours)) // 40][None], 30, axis=0)


def lay(folder: Path, masks: list[NDArray[np.uint8]], suffix: str = ".png") -> Path:
    for number, mask in enumerate(masks):
        photo(folder / "images" / f"{number}.jpg", number)
        save(folder / "masks" / f"{number}{suffix}", mask)
    return folder


def read(folder: Path) -> tuple[tuple[str, ...], list[NDArray[np.uint8]]]:
    """Return the classes and the masks in their numbers."""
    listing, request = list_folder(folder), Request("segmentation", 30, 40, 3)
    onto = canvas(listing, request)
    found = survey(listing, request, onto)
    assert not found.faults
    assert onto.masks is not None
    meaning = mask_meaning(found, found.seen, "")
    return meaning.labels, [
        meaning.index(onto.masks[one.row], one.values) for one in found.seen if one.values
    ]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("label_colors.txt", "128 128 128\tSky\n128 64 128\tRoad\n0 0 0\t\tVoid\n128 128 0 Tree\n"),
        ("class_dict.csv", "name,r,g,b\nSky,128,128,128\nRoad,128,64,128\nVoid,0,0,0\nTree,128,128,0\n"),
        ("classes.csv", "name,color\nSky,#808080\nRoad,#804080\nVoid,#000000\nTree,#808000\n"),
        (
            "labelmap.txt",
            "# label:color_rgb:parts:actions\nSky:128,128,128::\nRoad:128,64,128::\nVoid:0,0,0::\n"
            "Tree:128,128,0::\n",
        ),
    ],
)
def test_a_legend_names_colours(tmp_path: Path, file: str, text: str) -> None:
    """The classes are the legend's, in its order, those that no mask shows among them."""
    lay(tmp_path, [painted([SKY, ROAD]), painted([ROAD, BLACK]), painted([SKY, SKY])])
    write(tmp_path / file, text)
    labels, (first, second, third) = read(tmp_path)
    assert labels == ("Sky", "Road", "Void", "Tree")
    assert first[0].tolist() == [0] * 20 + [1] * 20
    assert second[0].tolist() == [1] * 20 + [2] * 20
    assert not third.any()
    assert "masks hold 4 classes, a colour for each, named in " + file in inspect(tmp_path).notes
    assert not [note for note in list_folder(tmp_path).notes if "not understood" in note]


def test_without_a_legend_colours_name_themselves(tmp_path: Path) -> None:
    """Black is the first, the others follow in the order of their colours, whatever file shows them first."""
    lay(tmp_path, [painted([TREE, ROAD]), painted([BLACK, ROAD]), painted([SKY, BLACK]), painted([BLACK])])
    labels, masks = read(tmp_path)
    assert labels == ("#000000", "#804080", "#808000", "#808080")
    assert [mask[0, [0, -1]].tolist() for mask in masks] == [[2, 1], [0, 1], [3, 0], [0, 0]]


def test_other_colours_than_the_legends_are_named(tmp_path: Path) -> None:
    """A colour that the legend lacks is told with its value and the count of its pixels."""
    mask = painted([SKY, ROAD])
    mask[3, 4:7] = (1, 2, 3)
    lay(tmp_path, [painted([SKY, ROAD]), mask])
    write(tmp_path / "label_colors.txt", "128 128 128 Sky\n128 64 128 Road\n")
    (fault,) = survey(list_folder(tmp_path), Request("segmentation", 30, 40, 3)).faults
    assert fault.file == "masks/1.png"
    assert "1 colours that label_colors.txt does not name, such as #010203 in 3 pixels" in fault.text


def test_jpegs_of_colours_are_refused(tmp_path: Path) -> None:
    """A JPEG has changed the colours: each file is named, with what to do."""
    lay(tmp_path, [painted([SKY, ROAD, TREE])] * 3, ".jpg")
    faults = survey(list_folder(tmp_path), Request("segmentation", 30, 40, 3)).faults
    assert [fault.file for fault in faults] == [f"masks/{number}.jpg" for number in range(3)]
    assert all("is a JPEG, which has changed its colours" in fault.text for fault in faults)
    assert all("Save masks as PNG" in fault.text for fault in faults)


def test_smoothed_edges_are_refused(tmp_path: Path) -> None:
    """Colours that only lie between two others are no classes, but an edge that was smoothed."""
    circle = np.zeros((30, 40, 3), np.uint8)
    cv2.circle(circle, (20, 15), 9, (255, 0, 0), -1, cv2.LINE_AA)
    lay(tmp_path, [circle, painted([BLACK, (255, 0, 0)])])
    (fault,) = survey(list_folder(tmp_path), Request("segmentation", 30, 40, 3)).faults
    assert fault.file == "masks/0.png"
    assert "edges are smoothed" in fault.text
    with pytest.raises(DatasetError, match="smoothed"):
        load(tmp_path, Request("segmentation", 30, 40, 3))


def test_thin_things_are_classes(tmp_path: Path) -> None:
    """A pole of one pixel has its own colour, and is no smoothed edge."""
    mask = painted([SKY, ROAD])
    mask[:, 5] = (192, 192, 128)
    lay(tmp_path, [mask, painted([SKY, ROAD])])
    assert read(tmp_path)[0] == ("#804080", "#808080", "#c0c080")


def test_colour_masks_are_learnt(tmp_path: Path) -> None:
    """They load as masks of class numbers, at any size."""
    lay(tmp_path, [painted([SKY, ROAD, TREE][number % 2 :]) for number in range(9)])
    splits = load(tmp_path, Request("segmentation", 16, 16, 3))
    assert splits.labels == ("#804080", "#808000", "#808080")
    assert splits.train.masks is not None
    assert set(np.unique(splits.train.masks)) <= {0, 1, 2}


def test_roboflows_values_are_named(tmp_path: Path) -> None:
    """Masks of Roboflow lie beside the photos, with `Pixel Value, Class` in _classes.csv."""
    for part in ("train", "valid"):
        for number in range(3):
            photo(tmp_path / part / f"{number}.jpg", number + 10 * ord(part[0]))
            values = np.zeros((30, 40), np.uint8)
            values[:, 10:20], values[:, 30:] = 1, 2
            save(tmp_path / part / f"{number}_mask.png", values)
        write(tmp_path / part / "_classes.csv", "Pixel Value, Class\n0, background\n1, cat\n2, dog\n")
    assert read(tmp_path)[0] == ("background", "cat", "dog")


def test_a_legend_gives_a_colour_one_name(tmp_path: Path) -> None:
    """Two names for one colour are told, and not passed over with the whole legend."""
    lay(tmp_path, [painted([SKY, ROAD])] * 2)
    write(tmp_path / "label_colors.txt", "128 128 128 Sky\n128 128 128 Road\n128 64 128 Tree\n")
    with pytest.raises(DatasetError, match=r"gives the colour \(128, 128, 128\) to both Sky and Road"):
        load(tmp_path, Request("segmentation", 30, 40, 3))
