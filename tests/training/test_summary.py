"""The layer table: every number is right, and its explanation adds up to it."""

import ast
import math
import operator

import keras
import pytest

from training import recipes, tasks
from training.summary import as_text, explain
from training.zoo import ARCHITECTURES

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


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_totals_are_those_of_keras(name: str) -> None:
    """The table's parameters sum up to Keras's own counts, layer by layer."""
    recipe = recipes.sketch(name)
    model = tasks.build(recipe, 2 if recipe.task == "segmentation" else 10)
    rows = explain(model)
    assert sum(row.parameters for row in rows) == model.count_params()
    trainable = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    assert sum(row.trainable_parameters for row in rows) == trainable


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_explanations_add_up(name: str) -> None:
    """Each formula's left side works out to its right side, which is the number in the table."""
    recipe = recipes.sketch(name)
    for row in explain(tasks.build(recipe, 2 if recipe.task == "segmentation" else 10)):
        if row.parameters:
            left, right = row.parameters_explained.split(" = ")
            assert value(left) == int(right) == row.parameters
        if row.output_explained and "->" not in row.output_explained:
            left, right = row.output_explained.split(" = ")
            assert int(value(left)) == int(right)
            assert int(right) in row.output_shape


def test_first_layers_of_the_lecture() -> None:
    """The lecture CNN's numbers, as worked out in the lecture."""
    rows = {row.name: row for row in explain(tasks.build(recipes.sketch("lecture-cnn-a"), 10))}
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
    model = tasks.build(recipes.sketch("unet"), 2)
    text = as_text(explain(model))
    for layer in model.layers:
        assert layer.name in text
    assert "Total parameters: 1,941,105" in text


def test_unknown_layers_with_weights_are_an_error() -> None:
    """A layer that cannot be explained is an error, never a row without a reason."""
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.PReLU()(image))
    with pytest.raises(NotImplementedError, match="PReLU"):
        explain(model)
