"""The architectures have the parameter counts that their sources state."""

import gc
import math
from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf

from training import schema
from training.recipes import registry
from training.reports.summary import explain
from training.tasks import heads
from training.zoo import ARCHITECTURES, ArchitectureError, Shape, convnext

PHOTO = (32, 32, 3)
HEAVY = ("alexnet", "vgg16", "resnet50", "xception", "convnext")


@pytest.fixture(autouse=True)
def given_back(request: pytest.FixtureRequest) -> Iterator[None]:
    """Free the largest networks at once: a model refers to itself, and gigabytes would pile up."""
    yield
    if any(name in request.node.name for name in HEAVY):
        gc.collect()


def build(name: str, labels: int, *, task: str = "classification", shape: Shape | None = None) -> keras.Model:
    """Build an architecture with a head, at its own input size unless told another."""
    height, width, channels = shape or ARCHITECTURES[name].input_shape
    size = schema.Input(height=height, width=width, channels=channels)
    return heads.build(registry.sketch(name).model_copy(update={"task": task, "input": size}), labels)


@pytest.mark.parametrize(
    ("architecture", "labels", "shape", "total", "trainable"),
    [
        # The lectures, and figure 9 of LeCun et al. 1998; their forms for CIFAR's images, worked out by hand.
        ("mlp", 10, None, 266_610, 266_610),
        ("lecture-cnn-a", 10, None, 225_930, 225_482),
        ("lecture-cnn-a", 10, PHOTO, 316_618, 316_170),
        ("lecture-cnn-a", 100, PHOTO, 328_228, 327_780),
        ("lecture-cnn-b", 10, None, 1_413_834, 1_413_834),
        ("lecture-cnn-b", 10, PHOTO, 1_649_482, 1_649_482),
        ("lecture-cnn-c", 10, None, 42_358, 42_358),
        ("lecture-cnn-c", 10, PHOTO, 60_102, 60_102),
        ("lenet-5", 10, None, 61_706, 61_706),
        # Szegedy et al. without auxiliary heads, with biases: the count of its public Caffe model.
        ("googlenet", 1000, None, 6_998_552, 6_998_552),
        # Counted from the code that Jordan 2024 publishes: 1,971,640; and the head's bias.
        ("airbench", 10, None, 1_973_954, 1_971_650),
        # The figures that keras.io/api/applications states, in millions: 25.6, 22.9, 7.2.
        ("resnet50", 1000, PHOTO, 25_636_712, 25_583_592),
        ("xception", 1000, PHOTO, 22_910_480, 22_855_952),
        ("efficientnetv2-b0", 1000, PHOTO, 7_200_312, 7_139_704),
        # And 28.6; all are trained. The paper's head begins with a normalisation, which ends the trunk here.
        ("convnext-tiny", 1000, PHOTO, 28_589_128, 28_589_128),
    ],
)
def test_counts_of_classifiers(
    architecture: str, labels: int, shape: Shape | None, total: int, trainable: int
) -> None:
    """With a softmax head, each network has the number of parameters that its source states."""
    model = build(architecture, labels, shape=shape)
    assert model.count_params() == total
    assert sum(math.prod(variable.shape) for variable in model.trainable_variables) == trainable


@pytest.mark.parametrize(("name", "total"), [("alexnet", 62_378_344), ("alexnet-grouped", 60_965_224)])
def test_counts_of_alexnet(name: str, total: int) -> None:
    """AlexNet's weights, convolution by convolution and layer by layer, sum up to the known totals."""
    backbone = ARCHITECTURES[name].build((227, 227, 3))
    assert backbone.count_params() + (4096 + 1) * 1000 == total


def test_count_of_vgg16() -> None:
    """VGG16's convolutions and the paper's three dense layers have 138,357,544 parameters ("138 million")."""
    dense = (7 * 7 * 512 + 1) * 4096 + (4096 + 1) * 4096 + (4096 + 1) * 1000
    assert ARCHITECTURES["vgg16"].build(PHOTO).count_params() + dense == 138_357_544


@pytest.mark.parametrize(
    ("name", "trunk", "features", "last", "stated"),
    [
        # Howard et al. 2019, tables 1 and 2: "5.4M" and "2.5M"; the last two layers are those of the tables.
        ("mobilenetv3-large", 2_996_352, 960, 1280, 5_507_432),
        ("mobilenetv3-small", 939_120, 576, 1024, 2_554_968),
    ],
)
def test_counts_of_mobilenets(name: str, trunk: int, features: int, last: int, stated: int) -> None:
    """The trunk, and with the paper's two last layers the count that Keras has, within 2 % of the paper's."""
    backbone = ARCHITECTURES[name].build(PHOTO)
    assert backbone.output.shape == (None, 1, 1, features)
    assert backbone.count_params() == trunk
    assert trunk + (features + 1) * last + (last + 1) * 1000 == stated
    assert stated / 1e6 == pytest.approx({"large": 5.4, "small": 2.5}[name[12:]], rel=0.025)


def test_inception_modules_cost_what_the_paper_says() -> None:
    """Each module's multiply-adds on 224x224 are those in table 1, in millions. (Not of module 5a, whose row
    says 54 where its own filters take 51; nor does the column of parameters agree with the filters.)
    """
    millions = {"3a": 128, "3b": 304, "4a": 73, "4b": 88, "4c": 100, "4d": 119, "4e": 170, "5b": 71}
    rows = explain(ARCHITECTURES["googlenet"].build((224, 224, 3)))
    for module, stated in millions.items():
        found = sum(row.multiply_adds for row in rows if row.name.startswith(f"inception{module}_"))
        assert found / 1e6 == pytest.approx(stated, abs=1)


def test_residual_unet_has_the_papers_weights() -> None:
    """The 3x3 convolutions of the residual U-Net have the paper's 7.8 million weights."""
    model = ARCHITECTURES["res-unet"].build(PHOTO)
    kernels = [layer.kernel.shape for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert sum(math.prod(shape) for shape in kernels if shape[0] == 3) == 7_780_032


def test_count_of_the_lectures_unet() -> None:
    """With its one-channel head, the U-Net has the lectures' number of parameters."""
    assert build("unet", 2, task="segmentation").count_params() == 1_941_105


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("task", ["classification", "localization", "segmentation"])
def test_any_backbone_takes_any_head(name: str, task: str) -> None:
    """Every backbone classifies, localizes and segments at its least height and a width of its own; only a
    perceptron, which has no feature maps, cannot segment, and says so.
    """
    size = ARCHITECTURES[name].size
    height, width = size.least, size.least + size.multiple
    if (name, task) == ("mlp", "segmentation"):
        with pytest.raises(ArchitectureError, match="no feature maps"):
            build(name, 5, task=task, shape=(height, width, 3))
        return
    outputs = build(name, 5, task=task, shape=(height, width, 3)).output
    if task == "segmentation":
        assert outputs["mask"].shape == (None, height, width, 5)
    else:
        assert outputs["scores"].shape == (None, 5)
    if task == "localization":
        assert outputs["box"].shape == (None, 4)


def test_a_box_head_on_full_size_features_stays_small() -> None:
    """A U-Net's features are pooled before the box head, which would else have 100 million weights."""
    assert build("unet", 2, task="localization").count_params() < 3_000_000


@pytest.mark.parametrize(
    "name",
    ["vgg16", "resnet50", "xception", "efficientnetv2-b0", "mobilenetv3-small", "mobilenetv3-large",
     "convnext-tiny"],
)  # fmt: skip
def test_wrapped_networks_are_one_flat_graph_with_lasting_names(name: str) -> None:
    """No network lies within the network, and every build gives each layer with weights the same name."""
    first, second = (ARCHITECTURES[name].build(PHOTO) for _ in range(2))
    assert not any(isinstance(layer, keras.Model) for layer in first.layers)
    assert [layer.name for layer in first.layers] == [layer.name for layer in second.layers]
    assert [each.name for each in first.operations] == [each.name for each in second.operations]


@pytest.mark.parametrize(
    ("name", "module"),
    [("vgg16", "vgg16"), ("resnet50", "resnet"), ("xception", "xception")],
)
def test_wrapped_networks_see_what_their_weights_were_trained_on(name: str, module: str) -> None:
    """Behind our input of 0..1, the first layers do what `preprocess_input` of Keras does to 0..255."""
    pixels = np.random.default_rng(0).integers(0, 256, (1, *PHOTO)).astype(np.float32)
    backbone = ARCHITECTURES[name].build(PHOTO)
    seen = keras.Model(backbone.input, backbone.get_layer("preprocess").output)(pixels / 255)
    expected = getattr(keras.applications, module).preprocess_input(pixels.copy())
    assert np.asarray(seen) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("efficientnetv2-b0", "EfficientNetV2B0"),
        ("mobilenetv3-small", "MobileNetV3Small"),
        ("mobilenetv3-large", "MobileNetV3Large"),
    ],
)
def test_a_wrapped_network_computes_what_keras_does(name: str, theirs: str) -> None:
    """With the same weights, a network here and Keras's with its own preprocessing give the same."""
    pixels = np.random.default_rng(0).integers(0, 256, (1, *PHOTO)).astype(np.float32)
    ours = ARCHITECTURES[name].build(PHOTO)
    donor = getattr(keras.applications, theirs)(include_top=False, weights=None, input_shape=PHOTO)
    donor.set_weights(ours.get_weights())
    assert np.asarray(ours(pixels / 255)) == pytest.approx(np.asarray(donor(pixels)), abs=1e-4)


def test_convnext_computes_what_keras_does() -> None:
    """With Keras's weights, whose kernels are grouped and whose stem is a network of its own, the flat graph
    here gives what Keras's does, at another size too.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (1, *PHOTO)).astype(np.float32)
    donor = keras.applications.ConvNeXtTiny(include_top=False, weights=None, input_shape=PHOTO)
    chance = np.random.default_rng(1)
    # Not the factors of 1e-6 that hide what a block does.
    donor.set_weights([chance.normal(scale=0.1, size=one.shape) for one in donor.get_weights()])
    ours = ARCHITECTURES["convnext-tiny"].build(PHOTO)
    convnext.assign(ours, donor)
    expected = np.asarray(donor(pixels))
    assert np.ptp(expected) > 0.1
    assert np.asarray(ours(pixels / 255)) == pytest.approx(expected, abs=1e-4)


def test_a_wrapped_network_takes_grey_images() -> None:
    """A grey image gives what the same image in three equal channels gives."""
    grey = np.random.default_rng(0).random((1, 32, 32, 1)).astype(np.float32)
    one, three = (ARCHITECTURES["vgg16"].build((32, 32, channels)) for channels in (1, 3))
    one.set_weights(three.get_weights())
    expected = np.asarray(three(np.repeat(grey, 3, axis=-1)))
    assert np.asarray(one(grey)) == pytest.approx(expected, abs=1e-5)


def test_the_decoder_joins_the_last_features_of_each_size() -> None:
    """On ResNet-50, each step joins the last output of a stage, and never the padded image."""
    model = build("resnet50", 2, task="segmentation", shape=(64, 64, 3))
    joined = [
        [tensor._keras_history.operation.name for tensor in layer.input][1]
        for layer in model.layers
        if layer.name.startswith("decode") and layer.name.endswith("_join")
    ]
    assert joined == ["conv4_block6_out", "conv3_block4_out", "conv2_block3_out", "conv1_relu"]


@pytest.mark.parametrize(
    ("name", "task"),
    [("alexnet-grouped", "segmentation"), ("efficientnetv2-b0", "localization"), ("lenet-5", "segmentation")],
)
def test_a_training_step_reaches_every_weight(name: str, task: str) -> None:
    """The loss of a tiny batch has a gradient at every trained weight, grouped and separable ones too."""
    model = build(name, 2, task=task, shape=(67, 67, 3))
    images = np.random.default_rng(0).random((2, 67, 67, 3)).astype(np.float32)
    with tf.GradientTape() as tape:
        outputs = model(images, training=True)
        loss = sum(tf.reduce_sum(output**2) for output in outputs.values())
    gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    assert all(gradient is not None for gradient in gradients)
    assert all(bool(tf.reduce_all(tf.math.is_finite(gradient))) for gradient in gradients)


@pytest.mark.parametrize(("labels", "channels"), [(2, 1), (3, 3)])
@pytest.mark.parametrize("name", ["unet", "se-resnet-unet"])
def test_mask_heads_keep_the_size(name: str, labels: int, channels: int) -> None:
    """A segmentation network gives one probability per pixel for two classes, else one per class."""
    recipe = registry.sketch(name).model_copy(update={"input": schema.Input(height=64, width=96, channels=3)})
    assert heads.build(recipe, labels).output["mask"].shape == (None, 64, 96, channels)


@pytest.mark.parametrize("name", ["unet", "se-resnet-unet", "res-unet"])
def test_sizes_that_cannot_be_halved_are_refused(name: str) -> None:
    """A size that the network cannot halve often enough is an error that says which can."""
    with pytest.raises(ArchitectureError, match="multiples of"):
        ARCHITECTURES[name].build((100, 100, 3))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_smaller_sizes_than_the_least_are_refused(name: str) -> None:
    """Below its least size, which the test of the heads builds, a network says what that is."""
    architecture = ARCHITECTURES[name]
    least = architecture.size.least
    with pytest.raises(ArchitectureError, match=f"at least {least}x{least}"):
        architecture.build((least - 1, least, 3))


def test_encoder_and_unet_share_layer_names() -> None:
    """Every weight of the encoder has its twin in the U-Net on it, so that one can start the other."""

    def shapes(model: keras.Model) -> dict[str, list[tuple[int, ...]]]:
        return {layer.name: [w.shape for w in layer.weights] for layer in model.layers if layer.weights}

    encoder = shapes(ARCHITECTURES["se-resnet"].build((64, 64, 3)))
    unet = shapes(ARCHITECTURES["se-resnet-unet"].build((64, 64, 3)))
    assert encoder
    assert encoder.items() <= unet.items()
