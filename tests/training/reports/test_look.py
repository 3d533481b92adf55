"""What a network looks at: known beforehand in networks of a few weights."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from training.fit.runs import Run
from training.reports.look import (
    LayerError,
    answered,
    deepest,
    feature_maps,
    grad_cam,
    layers_with_maps,
    look,
)
from training.tasks.segmentation import SEGMENTATION
from training.zoo import ARCHITECTURES


def corner_net(task: str, *, bias: bool = True) -> Any:
    """Build a network that speaks for its second label where the image is bright, by hand-set weights."""
    image = keras.layers.Input((8, 8, 1))
    maps = keras.layers.Conv2D(1, 1, name="conv")(image)
    if task == "classification":
        pooled = keras.layers.GlobalAveragePooling2D()(maps)
        outputs = {
            "scores": keras.layers.Dense(2, activation="softmax", use_bias=bias, name="scores")(pooled)
        }
        kernel = np.asarray([[-3.0, 3.0]])
    else:
        outputs = {"mask": keras.layers.Conv2D(1, 1, activation="sigmoid", use_bias=bias, name="mask")(maps)}
        kernel = np.asarray([[[[3.0]]]])
    model = keras.Model(image, outputs, name="corner")
    model.get_layer("conv").set_weights([np.ones((1, 1, 1, 1)), np.zeros(1)])
    head = model.get_layer("mask" if task == "segmentation" else "scores")
    head.set_weights([kernel, *([np.zeros(kernel.shape[-1])] if bias else [])])
    return model


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_grad_cam_is_hot_where_the_label_comes_from(task: str, bias: bool) -> None:
    """The bright corner speaks for the second label and nothing for the first, with a bias and without."""
    model = corner_net(task, bias=bias)
    image = np.zeros((1, 8, 8, 1), np.float32)
    image[0, :3, :2] = 1.0
    heat = grad_cam(model, image, "conv", 1)
    assert np.allclose(heat[0], image[0, ..., 0])
    assert not grad_cam(model, image, "conv", 0).any()
    assert np.allclose(feature_maps(model, image, "conv"), image)


def test_grad_cam_does_not_fade_where_the_answer_is_sure() -> None:
    """The logit's gradient is taken: that of a probability of 1 would be 0 everywhere."""
    model = corner_net("classification")
    image = np.full((1, 8, 8, 1), 60.0, np.float32)
    assert np.asarray(model(image)["scores"])[0, 1] == 1.0
    assert grad_cam(model, image, "conv", 1).max() == 1.0


def test_the_image_itself_is_a_layer_too() -> None:
    """What the score hangs on in the image is bright; a layer that no score comes from has no heat."""
    model = corner_net("classification")
    image = np.zeros((1, 8, 8, 1), np.float32)
    image[0, :3, :2] = 1.0
    name = model.layers[0].name
    assert np.allclose(grad_cam(model, image, name, 1)[0], image[0, ..., 0])
    aside = keras.layers.Conv2D(1, 1, name="aside")(model.input)
    wider = keras.Model(model.input, model.output | {"box": aside}, name="wider")
    with pytest.raises(LayerError, match="do not come from 'aside'"):
        grad_cam(wider, image, "aside", 1)


def test_a_wrong_layer_is_told_with_those_that_are_right(runs: dict[str, Run]) -> None:
    """A layer that is not there, or has no map, is answered with the names of those that have one."""
    model = runs["classification"].model()
    assert layers_with_maps(model)[1] == "conv1"
    for wrong in ("conv9", "dense"):
        with pytest.raises(LayerError, match=rf"no map at '{wrong}'; there are: .*conv1, "):
            feature_maps(model, np.zeros((1, 32, 32, 3), np.float32), wrong)


def test_the_deepest_layer_is_the_last_of_the_coarsest_map(runs: dict[str, Run]) -> None:
    """Of the lecture's CNN that follows the second convolution; of the U-Net it is the bottom."""
    assert deepest(runs["classification"].model()) == "norm2"
    assert deepest(runs["localization"].model()) == "norm2"
    assert deepest(runs["segmentation"].model()) == "bottom_conv_b"


@pytest.mark.parametrize(
    ("name", "shape", "layer"),
    [
        ("se-resnet-small", (32, 32, 3), "stage3_block1_relu"),
        ("googlenet", (64, 64, 3), "inception5b_join"),
        ("airbench", (32, 32, 3), "group3_b_relu"),
        ("lecture-cnn-b", (16, 64, 3), "conv3b"),
    ],
)
def test_the_deepest_layer_is_where_branches_have_come_together(
    name: str, shape: tuple[int, int, int], layer: str
) -> None:
    """Of a residual block that is its end and not its shortcut; of an inception module all of it."""
    assert deepest(ARCHITECTURES[name].build(shape)) == layer


def test_the_answer_of_a_mask_is_its_commonest_object() -> None:
    """The background is never what a mask speaks for."""
    mask = np.zeros((1, 4, 4, 3), np.float32)
    mask[..., 0], mask[:, 0, :, 2] = 0.5, 1.0
    assert answered(SEGMENTATION, {"mask": mask}, 3) == 2
    assert answered(SEGMENTATION, {"mask": np.zeros((1, 4, 4, 1), np.float32)}, 2) == 1


@pytest.mark.parametrize("task", ["classification", "localization", "segmentation"])
def test_look_draws_the_answer_and_each_layer(
    runs: dict[str, Run], data_dir: Path, tmp_path: Path, task: str
) -> None:
    """The picture grows with each layer that is asked for; a label can be chosen by name."""
    image = data_dir / "oxford-iiit-pet" / "images" / "beagle_1.jpg"
    layers = layers_with_maps(runs[task].model())[1:3]
    look(runs[task], image, [], "", tmp_path / "one.png")
    look(runs[task], image, layers, runs[task].labels[-1], tmp_path / "two.png")
    with Image.open(tmp_path / "one.png") as one, Image.open(tmp_path / "two.png") as two:
        assert one.width == two.width
        assert two.height > one.height * 1.3
        assert np.asarray(two.convert("L")).std() > 10
    with pytest.raises(LayerError, match="no label 'horse'"):
        look(runs[task], image, [], "horse", tmp_path / "none.png")
