"""Images of several labels at once: how folders say it, and what is read of them."""

from pathlib import Path

import numpy as np
import pytest

from tests.training.sets import photo, voc, write
from training.commands import inspection
from training.datasets import DatasetError, Request, Splits
from training.datasets.own.folder import load
from training.datasets.own.layout import list_folder, task_of
from training.recipes import defaults

ROWS = ("1,0,0", "1,1,0", "0,1,0", "0,0,0")


def columns(folder: Path, rows: tuple[str, ...], count: int = 24, header: str = "cat,dog,tree") -> Path:
    """Save a CSV with a column per label, whose rows come in turn, and its photos."""
    for number in range(count):
        photo(folder / f"{number:02d}.png", number)
    lines = [f"{number:02d}.png,{rows[number % len(rows)]}" for number in range(count)]
    return write(folder / "labels.csv", "\n".join([f"file,{header}", *lines]))


def read(folder: Path) -> Splits:
    return load(folder, Request("multilabel", 16, 16, 3))


def labelled(splits: Splits) -> dict[str, set[str]]:
    """Return each image's labels, by its name."""
    found = {}
    for part in (splits.train, splits.validation, splits.test):
        assert part.label_sets is not None
        assert part.paths is not None
        for path, row in zip(part.paths, part.label_sets, strict=True):
            found[path.name] = {splits.labels[index] for index in np.flatnonzero(row)}
    return found


def test_a_column_per_label_gives_sets(tmp_path: Path) -> None:
    """Each image has the labels of its ones, or none of them; a label that no image has is told and left."""
    columns(tmp_path, ROWS)
    assert task_of(tmp_path) == task_of(tmp_path, "classification") == "multilabel"
    splits = read(tmp_path)
    assert splits.labels == ("cat", "dog")
    found = labelled(splits)
    assert len(found) == 24
    assert [found[f"{number:02d}.png"] for number in range(4)] == [{"cat"}, {"cat", "dog"}, {"dog"}, set()]
    notes = list_folder(tmp_path, "multilabel").notes
    assert "no image is of these classes, and they are not learnt: tree" in notes
    for part in (splits.train, splits.validation, splits.test):
        assert part.label_sets is not None
        assert part.label_sets.any(axis=0).all()


@pytest.mark.parametrize("flags", [("1.0", "0.0"), ("True", "False"), ("1", "0")])
def test_flags_are_what_programs_write_for_them(tmp_path: Path, flags: tuple[str, str]) -> None:
    """Whole numbers, those of a table with gaps, and words."""
    yes, no = flags
    columns(tmp_path, (f"{yes},{no},{no}", f"{no},{yes},{yes}", f"{no},{no},{yes}"))
    assert labelled(read(tmp_path))["01.png"] == {"dog", "tree"}


def test_a_column_per_class_stays_one_class_where_each_image_is_of_one(tmp_path: Path) -> None:
    """Then labels exclude each other, unless it is said that they do not."""
    columns(tmp_path, ("1,0,0", "0,1,0", "0,0,1"))
    assert task_of(tmp_path) == "classification"
    assert task_of(tmp_path, "multilabel") == "multilabel"
    assert {item.label for item in list_folder(tmp_path).items} == {"cat", "dog", "tree"}
    assert list_folder(tmp_path).faults == ()


def test_what_is_no_flag_is_a_fault_with_its_line(tmp_path: Path) -> None:
    """A number that is neither, or a field too few."""
    columns(tmp_path, ("1,0,0", "0,1,1", "2,0,0", "0,0"), count=4)
    faults = map(str, list_folder(tmp_path, "multilabel").faults)
    assert [fault for fault in faults if "labels.csv:" in fault] == [
        "labels.csv: line 4: a file and 3 times 0 or 1 are expected",
        "labels.csv: line 5: a file and 3 times 0 or 1 are expected",
    ]


def test_a_recipe_for_one_class_says_what_is_wrong_with_two(tmp_path: Path) -> None:
    """Read for classes that exclude each other, an image of two is a contradiction that names the way out."""
    columns(tmp_path, ("1,0,0", "1,1,0", "0,1,0"), count=6)
    assert str(list_folder(tmp_path, "classification").faults[0]) == (
        "01.png: is cat by labels.csv, line 3, but dog by labels.csv, line 3: keep one of them, or learn "
        "both with --task multilabel"
    )


def test_boxes_give_every_label_that_occurs(tmp_path: Path) -> None:
    """An image is of each of its boxes' labels once; one without a box is of none."""
    box = (1, 1, 10, 10)
    objects = [
        [("cat", box), ("cat", (12, 1, 20, 9))],
        [("cat", box), ("dog", (9, 9, 30, 25))],
        [("dog", box)],
        [],
    ]
    for number in range(24):
        voc(tmp_path, f"{number:02d}", objects[number % 4], number)
    assert task_of(tmp_path) == "detection"
    assert task_of(tmp_path, "classification") == "multilabel"
    found = labelled(read(tmp_path))
    assert [found[f"{number:02d}.jpg"] for number in range(4)] == [{"cat"}, {"cat", "dog"}, {"dog"}, set()]


def test_boxes_of_one_label_an_image_stay_one_class(tmp_path: Path) -> None:
    """However many boxes: the label of each image is no question."""
    for number in range(12):
        label = ("cat", "dog")[number % 2]
        voc(tmp_path, f"{number}", [(label, (1, 1, 10, 10)), (label, (12, 1, 20, 9))], number)
    assert task_of(tmp_path, "classification") == "classification"


def test_rows_of_one_image_are_a_contradiction_unless_all_are_meant(tmp_path: Path) -> None:
    """A CSV of file and label with an image twice may be a mistake: it is asked for with the option."""
    for number in range(12):
        photo(tmp_path / f"{number}.png", number)
    rows = [f"{number}.png,{label}" for number in range(12) for label in ("cat", "dog")[: 1 + number % 2]]
    rows += [f"{number}.png,tree" for number in range(0, 12, 3)]
    write(tmp_path / "labels.csv", "\n".join(["file,label", *rows]))
    assert task_of(tmp_path) == "classification"
    assert "or learn both with --task multilabel" in str(list_folder(tmp_path).faults[0])
    assert labelled(read(tmp_path))["3.png"] == {"cat", "dog", "tree"}


def test_a_choice_of_several_gives_sets(tmp_path: Path) -> None:
    """Label Studio's choices, of which more than one may be ticked."""
    tasks = []
    for number in range(12):
        photo(tmp_path / f"{number}.png", number)
        chosen = [["cat"], ["cat", "dog"], ["dog"]][number % 3]
        result = {"type": "choices", "from_name": "c", "to_name": "i", "value": {"choices": chosen}}
        tasks.append({"data": {"image": f"/data/{number}.png"}, "annotations": [{"result": [result]}]})
    write(tmp_path / "export.json", tasks)
    assert task_of(tmp_path) == "multilabel"
    assert labelled(read(tmp_path))["1.png"] == {"cat", "dog"}


def test_one_label_alone_is_refused(tmp_path: Path) -> None:
    """There is nothing to be told apart from it."""
    columns(tmp_path, ("1,0", "0,0"), header="cat,dog")
    with pytest.raises(DatasetError, match="All labels are 'cat': two at the least are needed"):
        read(tmp_path)


def test_the_same_picture_with_other_labels_is_told(tmp_path: Path) -> None:
    """Both sets are named."""
    columns(tmp_path, ROWS)
    (tmp_path / "03.png").write_bytes((tmp_path / "01.png").read_bytes())
    with pytest.raises(
        DatasetError, match=r"03\.png: is nothing, but 01\.png is the same picture and cat and dog"
    ):
        read(tmp_path)


def test_inspect_counts_each_label_and_says_for_what_it_is(tmp_path: Path) -> None:
    """An image counts for each of its labels; the parts are those of training."""
    columns(tmp_path, ROWS)
    told = inspection.inspect(tmp_path, "classification")
    assert told.task == "multilabel"
    assert {label: sum(counts.values()) for label, counts in told.classes.items()} == {"cat": 12, "dog": 12}
    assert "6 images are of none of the labels" in told.notes
    assert told.sound


def test_a_command_for_classes_trains_on_sets(tmp_path: Path) -> None:
    """`--task classify` or no task: a recipe for several labels, that looks at all of a photo."""
    columns(tmp_path, ROWS)
    for task in (None, "classification"):
        recipe = defaults.choose(None, tmp_path, task, {}, None)
        assert recipe.task == "multilabel"
        assert recipe.input.resize != "crop"
        assert not recipe.training.balance
