"""The recipe that is made for a folder of one's own, and which recipe a command line asks for."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training import drawn, golden
from training.datasets import DatasetError, Task
from training.fit import loop
from training.fit.runs import read_history
from training.recipes import defaults, registry, rules
from training.schema import RecipeError
from training.tasks.registry import TASKS
from training.zoo import ARCHITECTURES


def class_folders(folder: Path, side: int, counts: dict[str, int], mode: str = "RGB") -> Path:
    for label, count in counts.items():
        (folder / label).mkdir(parents=True)
        for number in range(count):
            Image.new(mode, (side, side), number).save(folder / label / f"{number}.png")
    return folder


@pytest.mark.parametrize("task", ["classification", "localization", "detection", "segmentation"])
def test_each_task_gets_a_network_that_can_be_built(tmp_path: Path, task: Task) -> None:
    """For drawn folders of each task the recipe holds together, and its network takes the input."""
    drawn.draw_folder(tmp_path / "My Photos!", task, 24)
    recipe = defaults.for_folder(tmp_path / "My Photos!", task)
    assert recipe.name == "my-photos"
    assert recipe.data == str((tmp_path / "My Photos!").resolve())
    backbone = ARCHITECTURES[recipe.architecture].build(recipe.input.shape)
    assert backbone.output.shape[0] is None
    # Masks are mirrored with their image; a mirrored letter is another letter.
    assert recipe.augmentation.flip == (task == "segmentation")


@pytest.mark.parametrize(
    ("side", "mode", "shape"),
    [
        (28, "L", (32, 32, 1)),
        (47, "RGB", (64, 64, 3)),
        (64, "RGB", (128, 128, 3)),
        (140, "RGB", (160, 160, 3)),
        (500, "I;16", (224, 224, 1)),
    ],
)
def test_the_input_fits_the_images(tmp_path: Path, side: int, mode: str, shape: tuple[int, int, int]) -> None:
    """The input's size follows the images', and images that are all grey get one channel."""
    class_folders(tmp_path / "own", side, {"a": 3, "b": 3}, mode)
    assert defaults.for_folder(tmp_path / "own", "classification").input.shape == shape


def photos(folder: Path, sizes: list[tuple[int, int]]) -> Path:
    for number, size in enumerate(sizes):
        place = folder / ("a" if number % 2 else "b")
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, number).save(place / f"{number}.png")
    return folder


def test_the_resize_rule_follows_the_photos_and_is_told_with_the_reason(tmp_path: Path) -> None:
    """Nearly square photos are stretched, others by what is learnt of them; a panorama decides nothing; what
    the user says has no reason.
    """
    square = photos(tmp_path / "square", [(110, 100), (100, 105)] * 10 + [(900, 100)])
    recipe = defaults.for_folder(square, "classification")
    assert recipe.input.resize == "stretch"
    assert recipe.reasons[-1] == (
        "Photos are stretched, for they are nearly square: in nine of ten the longer side is at most 1.10 "
        "times the shorter one. --resize says otherwise."
    )
    long = photos(tmp_path / "long", [(160, 120), (120, 160)] * 4)
    recipe = defaults.for_folder(long, "classification")
    assert recipe.input.resize == "crop"
    assert "at most 1.33 times" in recipe.reasons[-1]
    wide = photos(tmp_path / "wide", [(300, 120)] * 8)
    recipe = defaults.for_folder(wide, "classification")
    assert recipe.input.resize == "stretch"
    assert "would leave out more than a third" in recipe.reasons[-1]
    kinds: tuple[tuple[Task, str], ...] = (("localization", "letterbox"), ("segmentation", "stretch"))
    assert [rules.choose(TASKS[task].own.resize, [(160, 120)])[0] for task, _ in kinds] == [
        rule for _, rule in kinds
    ]
    chosen = defaults.for_folder(long, "classification", resize="crop")
    assert chosen.input.resize == "crop"
    assert not [reason for reason in chosen.reasons if "--resize" in reason]
    drawn.draw_folder(tmp_path / "masks", "segmentation", 12)
    with pytest.raises(RecipeError, match="leaves pixels unseen"):
        defaults.for_folder(tmp_path / "masks", "segmentation", resize="crop")


def test_a_rule_goes_without_a_recipe() -> None:
    """A recipe says its rule itself."""
    with pytest.raises(RecipeError, match="--resize: a recipe says this itself"):
        defaults.choose("digits", None, None, {"resize": "crop"}, None)


def test_epochs_batch_and_balance_follow_the_numbers(tmp_path: Path) -> None:
    """More images mean fewer epochs and larger batches; unequal classes are balanced."""
    few = defaults.for_folder(class_folders(tmp_path / "few", 8, {"a": 6, "b": 6}), "classification")
    many = defaults.for_folder(class_folders(tmp_path / "many", 8, {"a": 700, "b": 300}), "classification")
    assert few.training.epochs > many.training.epochs
    assert few.training.batch_size < many.training.batch_size
    assert not few.training.balance
    assert many.training.balance


def test_a_folder_whose_labels_fit_no_image_is_refused(tmp_path: Path) -> None:
    """Where no label finds its image there is nothing to choose by: the error has the faults."""
    Image.new("RGB", (9, 9)).save(tmp_path / "a.png")
    (tmp_path / "boxes.csv").write_text("file,x_min,y_min,x_max,y_max\nb.png,1,1,9,9\n")
    with pytest.raises(DatasetError, match=r"no image with a label(.|\n)*line 2: there is no image b\.png"):
        defaults.for_folder(tmp_path, "localization")


def test_choices_replace_defaults(tmp_path: Path) -> None:
    """What the user says counts; what is not said is chosen; what does not hold together is named."""
    folder = class_folders(tmp_path / "own", 40, {"a": 3, "b": 3})
    recipe = defaults.for_folder(
        folder,
        "classification",
        name="mine",
        size=48,
        architecture="lecture-cnn-a",
        flip=True,
        licence="CC0",
        group_by=None,
    )
    assert (recipe.name, recipe.architecture, recipe.licence) == ("mine", "lecture-cnn-a", "CC0")
    assert recipe.input.shape == (48, 48, 3)
    assert recipe.augmentation.flip
    with pytest.raises(RecipeError, match="no architecture 'resnet'"):
        defaults.for_folder(folder, "classification", architecture="resnet")
    drawn.draw_folder(tmp_path / "masks", "segmentation", 6)
    with pytest.raises(RecipeError, match="must be multiples of 16, got 40x40"):
        defaults.for_folder(tmp_path / "masks", "segmentation", size=40)
    own = defaults.for_folder(tmp_path / "masks", "segmentation", size=40, architecture="res-unet")
    assert own.input.shape == (40, 40, 3)
    with pytest.raises(RecipeError, match="name: give small letters, digits and hyphens"):
        defaults.for_folder(folder, "classification", name="My Model")


def test_a_command_line_asks_for_one_recipe(tmp_path: Path) -> None:
    """A recipe, a folder, or a run that goes on; nothing, or two at once, is an error that says so."""
    folder = class_folders(tmp_path / "own", 40, {"a": 3, "b": 3})
    assert defaults.choose("digits", None, None, {}, None).name == "digits"
    assert defaults.choose(None, folder, None, {"name": "x"}, None).name == "x"
    with pytest.raises(RecipeError, match="Say what to train"):
        defaults.choose(None, None, None, {}, None)
    with pytest.raises(RecipeError, match="--skip-broken, --task"):
        defaults.choose("digits", None, "classification", {"skip_broken": True}, None)
    with pytest.raises(RecipeError, match="digits is trained on mnist"):
        defaults.choose("digits", folder, None, {}, None)


def test_recipes_hold_nothing_that_does_nothing() -> None:
    """What has no effect on masks is refused, and a recipe that is made does not have it."""
    text = TOML.format('data = "photos"').replace('"classification"', '"segmentation"')
    text = text.replace('"lecture-cnn-a"', '"unet"').replace("balance = true", "head_dropout = 0.2")
    with pytest.raises(RecipeError, match="head_dropout does nothing to masks"):
        registry.parse(text, "mine.toml")


def test_a_run_goes_on_with_its_own_recipe(tmp_path: Path) -> None:
    """A recipe's name with --resume means the run's recipe, not what the shipped one says today."""
    own = registry.load("digits").model_copy(update={"description": "As it was."})
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "recipe.json").write_text(own.model_dump_json())
    assert defaults.choose("digits", None, None, {}, tmp_path).description == "As it was."
    assert defaults.choose("digits", None, None, {}, None).description != "As it was."
    assert defaults.choose("signs", None, None, {}, tmp_path).name == "signs"


TOML = """
name = "mine"
description = "My own."
task = "classification"
dataset = "folder"
{}
architecture = "lecture-cnn-a"
[input]
height = 32
width = 32
channels = 3
[training]
epochs = 1
batch_size = 4
learning_rate = 0.001
balance = true
"""


def test_a_toml_recipe_names_a_folder(tmp_path: Path) -> None:
    """`data` is taken from where the file lies; without it the data set `folder` is refused."""
    path = tmp_path / "mine.toml"
    path.write_text(TOML.format('data = "photos"'))
    assert registry.load(str(path)).data == str(tmp_path.resolve() / "photos")
    path.write_text(TOML.format(""))
    with pytest.raises(RecipeError, match='need both dataset = "folder" and data'):
        registry.load(str(path))


def test_a_moved_folder_goes_on(tmp_path: Path) -> None:
    """A run on one's own folder resumes where the folder was moved to, with the same parts, and no other."""
    folder = tmp_path / "photos"
    for label, draw in (("pet", golden.draw_pet), ("sign", golden.draw_sign)):
        (folder / label).mkdir(parents=True)
        chance = np.random.default_rng(0)
        for number in range(12 if label == "pet" else 5):
            Image.fromarray(draw(chance, 40 + number, 40)).save(folder / label / f"{number}.png")
    path = tmp_path / "mine.toml"
    path.write_text(TOML.format('data = "photos"'))
    run = loop.train(registry.load(str(path)), tmp_path / "runs" / "mine", tmp_path)
    assert run.recipe.fingerprint
    moved = folder.rename(tmp_path / "elsewhere")
    again = defaults.choose(None, moved, None, {"name": "mine"}, run.folder.parent)
    assert again.fingerprint == run.recipe.fingerprint
    with pytest.raises(RecipeError, match="--size: the run mine goes on with what it began with"):
        defaults.choose(None, moved, None, {"name": "mine", "size": 64}, run.folder.parent)
    again = again.model_copy(update={"training": again.training.model_copy(update={"epochs": 2})})
    loop.train(again, run.folder, tmp_path, resume=True)
    assert len(read_history(run.folder / "history.csv")) == 2
    (moved / "pet" / "0.png").unlink()
    with pytest.raises(DatasetError, match="not what it was"):
        loop.train(again, run.folder, tmp_path, resume=True)
