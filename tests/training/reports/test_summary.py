"""The layer table: every number is right, and its explanation adds up to it."""

import ast
import math
import operator
from typing import Any

import keras
import numpy as np
import pytest

from training import schema
from training.recipes import registry
from training.reports.summary import EXPLAINERS, Row, as_text, explain
from training.tasks import heads
from training.zoo import ARCHITECTURES, convnext

OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


def value(formula: str) -> float:
    """Work out an arithmetic formula."""

    def walk(node: ast.expr) -> float:
        if isinstance(node, ast.BinOp):
            result: float = OPERATORS[type(node.op)](walk(node.left), walk(node.right))
            return result
        assert isinstance(node, ast.Constant)
        assert isinstance(node.value, int)
        return node.value

    return walk(ast.parse(formula, mode="eval").body)


SEGMENTING = ("vgg16", "res-unet", "se-resnet-unet", "efficientnet-lite0-unet")


@pytest.mark.parametrize(
    ("name", "task"),
    [*((name, "localization") for name in ARCHITECTURES), *((name, "segmentation") for name in SEGMENTING)],
)
def test_every_layer_of_the_zoo_is_explained(name: str, task: str) -> None:
    """Each layer of each network has a sentence, each parameter and each new size a formula that works out to
    the number in the table, and all parameters sum up to Keras's own counts.
    """
    model = build(name, task)
    rows = explain(model)
    assert {row.type for row in rows} <= EXPLAINERS.keys()
    for row in rows:
        assert row.note
        check_formulas(row)
    assert sum(row.parameters for row in rows) == model.count_params()
    trainable = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    assert sum(row.trainable_parameters for row in rows) == trainable


def build(name: str, task: str) -> keras.Model:
    """Build an architecture with the least square input that it takes, or 32 pixels."""
    side = max(32, ARCHITECTURES[name].size.least)
    size = schema.Input(height=side, width=side, channels=3)
    return heads.build(registry.sketch(name).model_copy(update={"task": task, "input": size}), 5)


def check_formulas(row: Row) -> None:
    """Work out both formulas of a row."""
    assert bool(row.parameters) == bool(row.parameters_explained)
    if row.parameters:
        left, right = row.parameters_explained.split(" = ")
        assert value(left) == int(right) == row.parameters
    if row.output_explained and "->" not in row.output_explained:
        left, right = row.output_explained.split(" = ")
        size = right.removesuffix(", rounded down")
        # Nothing is called rounded that is whole, and nothing equal that is not.
        assert value(left) - int(size) == 0 if size == right else 0 < value(left) - int(size) < 1
        assert int(size) in row.output_shape


@pytest.mark.parametrize(
    ("layer", "parameters", "multiply_adds", "field"),
    [
        # 2 groups of 4 channels: each of 6 filters has 3*3*4 weights and a bias.
        (keras.layers.Conv2D(6, 3, groups=2), 6 * (3 * 3 * 4 + 1), 8 * 8 * 6 * 36, 3),
        (keras.layers.BatchNormalization(scale=False), 3 * 8, 10 * 10 * 8, 1),
        (keras.layers.BatchNormalization(scale=False, center=False), 2 * 8, 10 * 10 * 8, 1),
        (keras.layers.LayerNormalization(), 2 * 8, 10 * 10 * 8, 1),
        (keras.layers.LayerNormalization(center=False, scale=False), 0, 10 * 10 * 8, 1),
        (convnext.LayerScale(), 8, 10 * 10 * 8, 1),
        (keras.layers.Activation("hard_swish"), 0, 0, 1),
        (keras.layers.DepthwiseConv2D(5, use_bias=False), 5 * 5 * 8, 6 * 6 * 25 * 8, 5),
        (keras.layers.DepthwiseConv2D(3, strides=2, padding="same"), 8 * (3 * 3 + 1), 5 * 5 * 9 * 8, 3),
        (keras.layers.SeparableConv2D(4, 3), 9 * 8 + (8 + 1) * 4, 8 * 8 * (9 * 8 + 8 * 4), 3),
        (keras.layers.SeparableConv2D(4, 3, use_bias=False), 9 * 8 + 8 * 4, 8 * 8 * (9 * 8 + 8 * 4), 3),
        (keras.layers.AveragePooling2D(2), 0, 0, 2),
        (keras.layers.ZeroPadding2D(((1, 0), (1, 0))), 0, 0, 1),
        (keras.layers.UpSampling2D(3), 0, 0, 1),
        (keras.layers.Resizing(15, 20), 0, 15 * 20 * 8 * 4, 2),
        (keras.layers.Rescaling(2.0, -1.0), 0, 10 * 10 * 8, 1),
        (keras.layers.Reshape((5, 20, 8)), 0, 0, 1),
        (keras.layers.Activation("silu"), 0, 0, 1),
        (keras.layers.Dropout(0.2, noise_shape=(None, 1, 1, 1)), 0, 0, 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, keras.layers.Layer) else "",
)
def test_layers_by_hand(layer: keras.layers.Layer, parameters: int, multiply_adds: int, field: int) -> None:
    """Of each kind of layer, on 10x10 values of 8 channels, the numbers are those worked out by hand."""
    image = keras.Input((10, 10, 8))
    row = explain(keras.Model(image, layer(image)))[-1]
    check_formulas(row)
    assert row.parameters == parameters
    assert row.multiply_adds == multiply_adds
    assert row.receptive_field == field
    assert row.note


L = keras.layers


@pytest.mark.parametrize(
    "stack",
    [
        [L.AveragePooling2D(2), L.UpSampling2D(2), L.Conv2D(1, 3, padding="same")],
        [
            L.AveragePooling2D(2),
            L.AveragePooling2D(2),
            L.UpSampling2D(2),
            L.Conv2D(1, 3, padding="same"),
            L.UpSampling2D(2),
            L.Conv2D(1, 3, padding="same"),
        ],
        [L.Conv2D(1, 5, strides=2, padding="same"), L.Conv2DTranspose(1, 2, strides=2), L.Conv2D(1, 3)],
        [L.Conv2D(1, 3, strides=2, padding="same"), L.Conv2DTranspose(1, 3, strides=2, padding="same")],
        [L.Conv2D(1, 4, strides=4), L.Conv2DTranspose(1, 5, strides=3), L.Conv2D(1, 2, strides=2)],
        [L.AveragePooling2D(3), L.Resizing(40, 40), L.Conv2D(1, 3)],
        [L.AveragePooling2D(2), L.Resizing(64, 64), L.Conv2D(1, 2, strides=3)],
        [L.ZeroPadding2D(1), L.Conv2D(1, 3, strides=2), L.UpSampling2D(3), L.Conv2D(1, 2)],
    ],
)
def test_receptive_fields_are_those_measured(stack: list[keras.layers.Layer]) -> None:
    """A line of light in the image, row by row: a value's field are the rows that it answers to."""
    side = 64
    x = image = keras.Input((side, side, 1))
    for layer in stack:
        x = type(layer).from_config(layer.get_config() | {"name": None})(x)
    model = keras.Model(image, x)
    model.set_weights([np.ones_like(weight) * (weight.ndim > 1) for weight in model.get_weights()])
    lines = np.eye(side, dtype=np.float32)[:, :, None, None].repeat(side, axis=2)
    for layer, row in list(zip(model.layers, explain(model), strict=True))[1:]:
        answers = keras.ops.convert_to_numpy(keras.Model(image, layer.output)(lines))
        seen = [np.flatnonzero(rows) for rows in (answers.max(axis=(2, 3)) > 0).T]
        assert max(rows[-1] - rows[0] + 1 for rows in seen if len(rows)) == row.receptive_field


def test_fields_of_u_nets() -> None:
    """As measured by gradients on large images: skips and enlargements joined."""
    rows = {row.name: row for row in explain(ARCHITECTURES["unet"].build((128, 128, 3)))}
    assert rows["up3_conv_a"].receptive_field == 188
    rows = {row.name: row for row in explain(ARCHITECTURES["res-unet"].build((128, 128, 3)))}
    assert rows["up2_a_conv"].receptive_field == 71


def test_first_layers_of_the_lecture() -> None:
    """The lecture CNN's numbers, as worked out in the lecture."""
    rows = {row.name: row for row in explain(heads.build(registry.sketch("lecture-cnn-a"), 10))}
    conv1, conv2, pool2 = rows["conv1"], rows["conv2"], rows["pool2"]
    assert conv1.parameters_explained == "(3*3*1 + 1) * 32 = 320"
    assert conv1.output_explained == "(28 - 3 + 2*0)/1 + 1 = 26"
    assert conv1.multiply_adds == 26 * 26 * 9 * 32
    # 3, then a pooling of 2 (+1), then 3x3 on every second pixel (+4), then pooling on those (+2).
    assert [row.receptive_field for row in (conv1, rows["pool1"], conv2, pool2)] == [3, 4, 8, 10]
    assert rows["dense"].parameters_explained == "1600*128 + 128 = 204928"
    assert rows["dense"].receptive_field is None
    assert rows["norm1"].trainable_parameters == 64


def test_strided_same_convolution_by_hand() -> None:
    """With stride 2 and uneven padding the formula still gives the size: (128 - 5 + 1 + 2)/2 + 1 = 64."""
    rows = {row.name: row for row in explain(ARCHITECTURES["se-resnet"].build((128, 128, 3)))}
    assert rows["stem_conv"].output_explained == "(128 - 5 + 1 + 2)/2 + 1 = 64"
    assert rows["stem_conv"].parameters_explained == "5*5*3 * 32 = 2400"


def test_text_has_every_layer_and_the_totals() -> None:
    """The terminal form names each layer and ends with the totals."""
    model = heads.build(registry.sketch("unet"), 2)
    text = as_text(explain(model))
    for layer in model.layers:
        assert layer.name in text
    assert "Total parameters: 1,941,105" in text


class Scaled(keras.layers.Layer):  # type: ignore[misc]  # Keras ships no types
    """A user's own layer: a number per channel, and one for all."""

    def build(self, shape: tuple[int, ...]) -> None:
        """Make the weights."""
        self.scale = self.add_weight(shape=(shape[-1],), name="scale")
        self.shift = self.add_weight(shape=(), name="shift", trainable=False)

    def call(self, values: Any) -> Any:
        """Scale and shift."""
        return values * self.scale + self.shift


@pytest.mark.parametrize(
    ("layer", "formula", "trainable", "field"),
    [
        (L.LayerNormalization(axis=(1, 2, 3)), "10*10*8 + 10*10*8 = 1600", 1600, None),
        (L.PReLU(), "10*10*8 = 800", 800, 1),
        (L.PReLU(shared_axes=(1, 2)), "1*1*8 = 8", 8, 1),
        (L.GroupNormalization(4), "8 + 8 = 16", 16, None),
        (L.ConvLSTM1D(2, 3), "3*8*8 + 3*2*8 + 8 = 248", 248, None),
        (L.Normalization(), "8 + 8 + 1 = 17", 0, None),
        (Scaled(), "8 + 1 = 9", 8, None),
        # More arrays than anybody reads.
        (keras.Sequential([L.Conv2D(2, 1) for _ in range(4)]), "36 = 36", 36, None),
        # An explainer there is, but of another form of it.
        (L.Conv2DTranspose(2, 3, use_bias=False), "3*3*8 * 2 = 144", 144, 3),
        (L.Dense(3, use_bias=False), "8*3 = 24", 24, 1),
        (L.Dense(3, use_bias=False, lora_rank=2), "8*3 + 8*2 + 2*3 = 46", 22, None),
        (L.Conv2D(4, 3, dilation_rate=2), "(3*3*8 + 1) * 4 = 292", 292, 5),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, keras.layers.Layer) else "",
)
def test_what_the_table_does_not_know_has_its_count(
    layer: keras.layers.Layer, formula: str, trainable: int, field: int | None
) -> None:
    """A layer of no known kind, or of a known one with other options, has a row with the right numbers: what
    it learns, array by array, and no word that would be wrong.
    """
    image = keras.Input((10, 10, 8))
    model = keras.Model(image, layer(image))
    row = explain(model)[-1]
    check_formulas(row)
    assert row.parameters_explained == formula
    assert row.parameters == model.count_params()
    assert row.trainable_parameters == trainable
    assert row.receptive_field == field
    assert "bias" not in row.note or "without bias" in row.note or getattr(layer, "use_bias", False)


def test_a_gates_arithmetic_is_told() -> None:
    """MobileNetV3's gates are made of a sum and a product with constants, and hard swish is spelt out."""
    rows = explain(ARCHITECTURES["mobilenetv3-small"].build((32, 32, 3)))
    notes = {row.note for row in rows}
    assert "The sum of each value and 3." in notes
    assert "The product of each value and 0.1667." in notes
    assert any(note.startswith("x * min(max(x + 3, 0), 6)/6") for note in notes)
    assert not any(note.startswith("The function") for note in notes)
    (pooled,) = {row.output_explained for row in rows if row.name == "expanded_conv_squeeze_excite_avg_pool"}
    assert pooled == "8x8x16 -> 1x1x16"


def test_sizes_of_dilated_and_transposed_convolutions() -> None:
    """The formulas of the sizes hold whatever the options: gaps in the kernel, kernels unlike the stride."""
    image = keras.Input((10, 10, 8))
    for layer, formula in (
        (L.Conv2D(4, 3, dilation_rate=2), "(10 - 5 + 2*0)/1 + 1 = 6"),
        (L.Conv2DTranspose(2, 5, strides=3), "(10 - 1)*3 + 5 = 32"),
        (L.Conv2DTranspose(2, 2, strides=2), "(10 - 1)*2 + 2 = 20"),
    ):
        row = explain(keras.Model(image, layer(image)))[-1]
        assert row.output_explained == formula
        check_formulas(row)
