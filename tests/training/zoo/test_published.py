"""Weights that Keras publishes: the files are those that Keras would take, with or without a network."""

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from training.fit import transfer
from training.fit.transfer import TransferError
from training.recipes import registry
from training.zoo import ARCHITECTURES, Pretrained, applications, published
from training.zoo.published import Published
from training.zoo.torchfile import PretrainedError

NOWHERE = "http://127.0.0.1:9/models/weights_of_nothing.h5"
"""The port of a protocol that nobody speaks any more."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of Keras's with nothing in it, not even itself."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras"


def placed(home: Path, content: bytes = b"weights") -> Published:
    """Return a file of weights that cannot be downloaded, and lies where it would be."""
    file = Published(NOWHERE, hashlib.sha256(content).hexdigest())
    file.file.parent.mkdir(parents=True)
    file.file.write_bytes(content)
    return file


@pytest.mark.parametrize(
    ("network", "file"),
    [
        ("VGG16", published.VGG16),
        ("ResNet50", published.RESNET50),
        ("Xception", published.XCEPTION),
        ("EfficientNetV2B0", published.EFFICIENTNET_V2_B0),
        ("MobileNetV3Small", published.MOBILENET_V3_SMALL),
        ("MobileNetV3Large", published.MOBILENET_V3_LARGE),
        ("ConvNeXtTiny", published.CONVNEXT_TINY),
    ],
)
def test_the_files_are_those_that_keras_takes(
    network: str, file: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Address, digest and place are what Keras itself asks for when it is told to take ImageNet weights."""
    asked: dict[str, Any] = {}

    class Asked(Exception):
        pass

    def get_file(fname: str, origin: str, **options: Any) -> str:
        asked.update(options, fname=fname, origin=origin)
        raise Asked

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    with pytest.raises(Asked):
        getattr(keras.applications, network)(include_top=False, input_shape=(224, 224, 3))
    assert (asked["origin"], asked["file_hash"]) == (file.url, file.digest)
    assert (asked["cache_subdir"], asked["fname"]) == ("models", file.file.name)


def test_a_file_in_place_needs_no_network(home: Path) -> None:
    """Put where the error says, with the digest that it says, a file is taken as it is."""
    file = placed(home)
    assert file.fetch() == home / "models" / "weights_of_nothing.h5"
    md5 = replace(file, digest=hashlib.md5(b"weights").hexdigest())
    assert md5.fetch() == file.file


def test_another_file_in_its_place_is_named_and_kept(home: Path) -> None:
    """With both digests, and where the right one is from; it is the user's file, so it stays."""
    file = placed(home)
    other = replace(file, digest=hashlib.sha256(b"others").hexdigest())
    with pytest.raises(PretrainedError, match="is damaged or another file: its SHA-256 is") as raised:
        other.fetch()
    for words in (str(file.file), file.digest, other.digest, NOWHERE):
        assert words in str(raised.value)
    assert file.file.read_bytes() == b"weights"


def test_without_a_network_all_that_is_needed_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The architecture, the address, the digest with its kind, where to put the file, and what else to do."""
    file = Published(NOWHERE, "d" * 32)
    load = partial(applications.load, make=applications.mobilenet_v3_small, published=file)
    network = replace(ARCHITECTURES["mobilenetv3-small"], pretrained=Pretrained(load, "-1..1"))
    monkeypatch.setitem(ARCHITECTURES, "mobilenetv3-small", network)
    recipe = registry.sketch("mobilenetv3-small")
    with pytest.raises(TransferError, match=r"mobilenetv3-small: .*could not be downloaded") as raised:
        transfer.take_over_imagenet(network.build((32, 32, 3)), recipe)
    text = str(raised.value)
    assert f"get {NOWHERE} elsewhere and put it at {home}/models/weights_of_nothing.h5" in text
    assert f"(MD5 is {'d' * 32})" in text
    assert "efficientnet-lite0" in text


def test_what_can_be_downloaded_is_kept_and_checked(tmp_path: Path, home: Path) -> None:
    """From any address: the file lies in Keras's home afterwards; one with another digest does not."""
    (tmp_path / "there.h5").write_bytes(b"weights")
    url = (tmp_path / "there.h5").as_uri()
    file = Published(url, hashlib.sha256(b"weights").hexdigest())
    assert file.fetch().read_bytes() == b"weights"
    assert file.file == home / "models" / "there.h5"
    file.file.unlink()
    with pytest.raises(PretrainedError, match="could not be downloaded"):
        replace(file, digest="0" * 64).fetch()


def test_a_network_takes_its_weights_from_the_file(home: Path) -> None:
    """MobileNetV3 from a file as Keras publishes them has its weights, at other sizes and for grey images."""
    theirs = keras.applications.MobileNetV3Small(include_top=False, weights=None, input_shape=(64, 64, 3))
    chance = np.random.default_rng(0)
    theirs.set_weights([chance.normal(size=one.shape) for one in theirs.get_weights()])
    file = Published(NOWHERE, "")
    file.file.parent.mkdir(parents=True)
    theirs.save(file.file)
    file = replace(file, digest=hashlib.sha256(file.file.read_bytes()).hexdigest())
    ours = applications.load((32, 48, 1), applications.mobilenet_v3_small, file)
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)
