"""The architectures have the parameter counts that their sources state."""

import math

import keras
import pytest

from training import recipes, tasks
from training.zoo import ARCHITECTURES


@pytest.mark.parametrize(
    ("architecture", "labels", "total", "trainable"),
    [
        ("lecture-cnn-a", 10, 225_930, 225_482),
        ("lecture-cnn-b", 10, 1_413_834, 1_413_834),
        ("unet", 2, 1_941_105, 1_941_105),
    ],
)
def test_counts_of_the_lectures(architecture: str, labels: int, total: int, trainable: int) -> None:
    """With the head of the lectures, each network has the lectures' number of parameters."""
    model = tasks.build(recipes.sketch(architecture), labels)
    assert model.count_params() == total
    assert sum(math.prod(variable.shape) for variable in model.trainable_variables) == trainable


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("task", ["classification", "localization"])
def test_any_backbone_takes_a_class_or_box_head(name: str, task: str) -> None:
    """Every backbone can classify and localize, at a size that is not its own."""
    recipe = recipes.sketch(name).model_copy(
        update={"task": task, "input": recipes.Input(height=64, width=96, channels=3)}
    )
    outputs = tasks.build(recipe, 5).output
    assert outputs["scores"].shape == (None, 5)
    if task == "localization":
        assert outputs["box"].shape == (None, 4)


@pytest.mark.parametrize(("labels", "channels"), [(2, 1), (3, 3)])
@pytest.mark.parametrize("name", ["unet", "se-resnet-unet"])
def test_mask_heads_keep_the_size(name: str, labels: int, channels: int) -> None:
    """A segmentation network gives one probability per pixel for two classes, else one per class."""
    recipe = recipes.sketch(name).model_copy(update={"input": recipes.Input(height=64, width=96, channels=3)})
    assert tasks.build(recipe, labels).output["mask"].shape == (None, 64, 96, channels)


def test_mask_head_needs_full_size_features() -> None:
    """A backbone that shrinks its input cannot segment, and the error names ones that can."""
    recipe = recipes.sketch("se-resnet").model_copy(update={"task": "segmentation"})
    with pytest.raises(ValueError, match="unet"):
        tasks.build(recipe, 2)


@pytest.mark.parametrize("name", ["unet", "se-resnet-unet"])
def test_sizes_that_cannot_be_halved_are_refused(name: str) -> None:
    """A size that the network cannot halve often enough is an error that says which can."""
    with pytest.raises(ValueError, match="multiples of"):
        ARCHITECTURES[name].build((100, 100, 3))


def test_encoder_and_unet_share_layer_names() -> None:
    """Every weight of the encoder has its twin in the U-Net on it, so that one can start the other."""

    def shapes(model: keras.Model) -> dict[str, list[tuple[int, ...]]]:
        return {layer.name: [w.shape for w in layer.weights] for layer in model.layers if layer.weights}

    encoder = shapes(ARCHITECTURES["se-resnet"].build((64, 64, 3)))
    unet = shapes(ARCHITECTURES["se-resnet-unet"].build((64, 64, 3)))
    assert encoder
    assert encoder.items() <= unet.items()
