"""Recipes: all shipped ones hold together; what is wrong with one is named."""

import json
from pathlib import Path

import pytest

from training import drawn
from training.recipes import defaults, registry
from training.schema import RecipeError


@pytest.mark.parametrize("name", registry.shipped())
def test_shipped_recipes_hold_together(name: str) -> None:
    """Each shipped recipe loads and is named like its file."""
    assert registry.load(name).name == name


def test_unknown_recipe_names_those_that_exist() -> None:
    """A recipe that is not there is answered with the list of those that are."""
    with pytest.raises(RecipeError, match="digits"):
        registry.load("nosuch")
    with pytest.raises(RecipeError, match=r"no recipe file nosuch\.toml"):
        registry.load("nosuch.toml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('task = "classification"', 'task = "captioning"'), "task"),
        (('dataset = "mnist"', 'dataset = "cifar"'), "no data set 'cifar'"),
        (('architecture = "lecture-cnn-a"', 'architecture = "resnet"'), "no architecture 'resnet'"),
        (("epochs =", "epoch ="), "training.epoch: there is no such setting; there are epochs, batch_size"),
        (("height = 28", "height = 8"), "at least 10x10 pixels"),
        (
            ("[training]", '[transfer]\nweights = "imagenet"\n[training]'),
            "no ImageNet weights for lecture-cnn-a, but for vgg16, resnet50",
        ),
        (('task = "classification"', 'task = "segmentation"'), "is for classification"),
        (("[training]", "[transfer]\nfrozen_epochs = 2\n[training]"), "give transfer.weights"),
        (
            ("[training]", '[transfer]\nweights = "first.keras"\nfrozen_epochs = 31\n[training]'),
            "not be more than training.epochs, 30",
        ),
        (("epochs =", 'schedule = "steps"\nepochs ='), "schedule"),
        (("[training]", "[training"), "not valid TOML"),
        (("width = 28", 'width = 28\nresize = "squash"'), "input.resize"),
        (("width = 28", "width = 28\ncrop_share = 0.9"), 'goes with resize = "crop", not with "stretch"'),
        (("width = 28", 'width = 28\nresize = "crop"\ncrop_share = 0'), "input.crop_share"),
        (("width = 28", 'width = 28\nresize = "letterbox"'), '"light-on-dark" looks at the border'),
    ],
)
def test_faults_are_named(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    """A wrong field, value or combination is named, with the file."""
    text = (Path(registry.__file__).parent / "digits.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(*change))
    with pytest.raises(RecipeError, match=message) as raised:
        registry.load(str(path))
    assert "mine.toml" in str(raised.value)


def test_masks_are_not_cropped(tmp_path: Path) -> None:
    """What the network would not see has no class; letterboxed masks are as good as stretched ones."""
    text = (Path(registry.__file__).parent / "nuclei.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace("width = 256", 'width = 256\nresize = "crop"'))
    with pytest.raises(RecipeError, match=r"leaves pixels unseen .* choose \"letterbox\" or \"stretch\""):
        registry.load(str(path))
    path.write_text(text.replace("width = 256", 'width = 256\nresize = "letterbox"'))
    assert registry.load(str(path)).request.resize == "letterbox"


def test_weights_bring_frozen_epochs_and_lower_rates() -> None:
    """Started from weights, a recipe freezes them at first and then has a lower rate, unless it says how."""
    digits = registry.load("digits")
    tuned = registry.with_weights(digits, "imagenet")
    assert tuned.transfer.weights == "imagenet"
    assert tuned.transfer.frozen_epochs == 6
    assert tuned.transfer.frozen_learning_rate == digits.training.learning_rate
    assert tuned.training.learning_rate == pytest.approx(digits.training.learning_rate / 5)
    again = registry.with_weights(tuned, "other.keras")
    assert again.transfer == tuned.transfer.model_copy(update={"weights": "other.keras"})
    assert again.training == tuned.training


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
@pytest.mark.parametrize("recipe", ["nuclei", "pet-heads"])
def test_blends_are_refused_where_the_truth_cannot_be_blended(tmp_path: Path, name: str, recipe: str) -> None:
    """A blend of two images has no one box and no one mask."""
    text = (Path(registry.__file__).parent / f"{recipe}.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace("[augmentation]", f"[augmentation]\n{name} = 0.2"))
    with pytest.raises(RecipeError, match=f"augmentation.{name}.*is for classification"):
        registry.load(str(path))


def test_a_runs_recipe_is_checked_like_any_other(tmp_path: Path) -> None:
    """A recipe.json that was changed by hand, or whose architecture is gone, is named before it is built; one
    that is sound is what was written.
    """
    digits = registry.load("digits")
    path = tmp_path / "recipe.json"
    path.write_text(digits.model_dump_json())
    assert registry.reopen(path) == digits
    for change, message in (
        ({"architecture": "resnet"}, "no architecture 'resnet'"),
        ({"dataset": "folder"}, "one's own images need both"),
        ({"task": "segmentation"}, "is for classification"),
        ({"transfer": {"frozen_epochs": 3}}, "give transfer.weights"),
    ):
        path.write_text(json.dumps(digits.model_dump() | change))
        with pytest.raises(RecipeError, match=f"recipe.json: .*{message}"):
            registry.reopen(path)


def test_a_relative_folder_is_looked_for_where_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is relative to where the command runs, though the data sets' folder has one of that name."""
    drawn.draw_folder(tmp_path / "here" / "photos", "classification", 24)
    drawn.draw_folder(tmp_path / "data" / "photos", "localization", 24)
    monkeypatch.chdir(tmp_path / "here")
    recipe = defaults.for_folder(Path("photos"), "classification", size=32)
    recipe = recipe.model_copy(update={"data": "photos"})
    assert len(recipe.load(tmp_path / "data").labels) == 4
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match="There is no folder photos"):
        recipe.load(tmp_path / "data")


def test_who_keeps_the_last_epoch_waits_for_no_better_one(tmp_path: Path) -> None:
    """Patience would never end such a run, and is refused."""
    text = (Path(registry.__file__).parent / "nuclei.toml").read_text()
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('keep = "last"', 'keep = "last"\npatience = 3'))
    with pytest.raises(RecipeError, match=r"training\.patience waits for a better epoch"):
        registry.load(str(path))
