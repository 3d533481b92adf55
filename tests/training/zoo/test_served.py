"""Networks of `keras.applications` as SavedModels: allowed, and computed alike by both engines."""

from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from service import engines
from service.versions import graph
from training import export
from training.recipes import registry
from training.schema import Input
from training.tasks import heads


@pytest.mark.parametrize("name", ["mobilenetv3-small", "mobilenetv3-large", "convnext-tiny"])
@pytest.mark.slow
def test_both_engines_compute_what_keras_does(name: str, tmp_path: Path) -> None:
    """Every operation is on the service's list, and OpenVINO's and TensorFlow's scores are Keras's."""
    size = Input(height=64, width=64, channels=3)
    recipe = registry.sketch(name).model_copy(update={"input": size})
    keras.utils.set_random_seed(0)
    model = heads.build(recipe, 5)
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    tensors = (images / 255).astype(np.float32)
    _as_after_training(model, tensors)
    export.save(model, model, recipe, tmp_path / "version", images)
    graph.check(tmp_path / "version")
    expected = np.asarray(model(tensors, training=False)["scores"])
    assert np.ptp(expected, axis=0).max() > 0.01
    names: tuple[engines.Name, ...] = ("openvino", "tensorflow")
    for engine in names:
        loaded = engines.load(engine, tmp_path / "version", "float32", 1, 4)
        for image, scores in zip(images, expected, strict=True):
            assert loaded.run(image[None], True)["scores"][0] == pytest.approx(scores, abs=1e-4)


def _as_after_training(model: keras.Model, tensors: NDArray[np.float32]) -> None:
    """Let every layer matter: before training a head is flat, statistics are not those of any image, and a
    block of ConvNeXt changes hardly anything.
    """
    for layer in model.layers:
        if type(layer).__name__ == "LayerScale":
            layer.gamma.assign(np.full(layer.gamma.shape, 0.3, np.float32))
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(tensors, training=True)
    kernel = heads.label_layer(model).kernel
    kernel.assign(np.random.default_rng(1).normal(scale=0.1, size=kernel.shape))
