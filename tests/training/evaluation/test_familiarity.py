"""Which features are looked at, and what a model tells of familiarity."""

from pathlib import Path

import numpy as np
import pytest

from tests import worlds
from training.datasets import Samples, Splits
from training.evaluation import familiarity
from training.golden import draw_pet
from training.schema import Input
from training.tasks import heads

LITE = [f"block{number}_expand_relu" for number in (2, 4, 6, 12)]


@pytest.mark.parametrize(
    ("architecture", "task", "side", "layers"),
    [
        ("lecture-cnn-a", "classification", 32, ["norm1", "pool1", "norm2"]),
        ("mlp", "classification", 28, ["dense100"]),
        ("unet", "segmentation", 32, [f"down{step}_conv_b" for step in (1, 2, 3, 4)]),
        ("airbench-small", "classification", 32, [f"group{step}_a_conv" for step in (1, 2, 3)]),
        ("efficientnet-lite0", "classification", 64, LITE),
        ("efficientnet-lite0-pyramid", "localization", 64, LITE),
        ("efficientnet-lite0-unet", "segmentation", 64, LITE),
    ],
)
def test_the_encoder_is_looked_at(architecture: str, task: str, side: int, layers: list[str]) -> None:
    """Of each size the last, but not the smallest, nor a decoder's; without maps the last features."""
    recipe = worlds.tiny_recipe(task, architecture=architecture)
    recipe = recipe.model_copy(update={"input": Input(height=side, width=side, channels=3)})
    assert familiarity.looked_at(heads.build(recipe, 3)) == tuple(layers)


def splits(validation: int) -> Splits:
    """Draw pets at 32 pixels."""
    chance = np.random.default_rng(0)

    def some(count: int) -> Samples:
        images = np.stack([draw_pet(chance, 32, 32) for _ in range(count)])
        return Samples(images, np.arange(count, dtype=np.int32) % 2)

    return Splits(some(60), some(validation), some(30), ("cat", "dog"))


@pytest.mark.parametrize("task", ["classification", "localization", "segmentation"])
def test_a_model_gets_one_output_more(task: str) -> None:
    """The others stay what they were, over the same variables; drawn pets are familiar and noise is not."""
    model, world = heads.build(worlds.tiny_recipe(task), 2), splits(30)
    known = familiarity.learn(model, "unit", world)
    assert known
    served = familiarity.added(model, known)
    assert {id(each) for each in served.variables} == {id(each) for each in model.variables}
    noise = np.random.default_rng(1).integers(0, 256, (30, 32, 32, 3), np.uint8)
    images = np.concatenate([world.test.images, noise]).astype(np.float32) / 255
    before, after = model(images, training=False), served(images, training=False)
    assert set(after) == {*before, "familiarity"}
    for name, rows in before.items():
        assert np.array_equal(np.asarray(after[name]), np.asarray(rows))
    found = np.asarray(after["familiarity"])
    assert found.shape == (60,)
    assert found[30:].max() < 0.05
    assert (found[:30] < 0.05).mean() < 0.25
    assert familiarity.added(model, None) is model


def test_too_few_validation_images_tell_nothing() -> None:
    """Of 19 images a share says too little: such a model has no familiarity."""
    model = heads.build(worlds.tiny_recipe("classification"), 2)
    assert familiarity.learn(model, "unit", splits(19)) is None
    assert familiarity.learn(model, "unit", splits(20)) is not None


def test_false_alarms_are_counted_on_the_test_part(tmp_path: Path) -> None:
    """What is told names layer, counts and level, and the share of test images below it with its interval."""
    model, world = heads.build(worlds.tiny_recipe("classification"), 2), splits(40)
    known = familiarity.learn(model, "unit", world)
    assert known
    told = familiarity.told(known, np.asarray([0.01, 0.04, 0.05, 0.9], np.float32), "test")
    assert (told["level"], told["count"], told["split"]) == (0.05, 4, "test")
    assert told["false_alarms"] == 0.5
    assert told["interval"] == pytest.approx((0.15, 0.85), abs=0.001)
    assert (told["layers"], told["features"], told["trained_on"], told["calibrated_on"]) == (
        ["norm1", "pool1", "norm2"],
        128,
        60,
        40,
    )
    assert familiarity.describe(told) == (
        "familiarity, by 40 validation images: below 0.05, a false alarm for 0.5000 [0.1500, 0.8500] of 4 "
        "test images"
    )
    measured = familiarity.measure(known, model, "unit", world.test, "test")
    assert measured["count"] == 30
    familiarity.write(tmp_path, known)
    again = familiarity.read(tmp_path)
    assert again
    assert familiarity.measure(again, model, "unit", world.test, "test") == measured
    familiarity.write(tmp_path, None)
    assert familiarity.read(tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_of_many_images_some_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same ones each time, however many there are."""
    model, world = heads.build(worlds.tiny_recipe("classification"), 2), splits(20)
    every = familiarity.features(model, ("pool2",), "unit", world.train)
    monkeypatch.setattr(familiarity, "MOST", 25)
    some = familiarity.features(model, ("pool2",), "unit", world.train)
    assert some.shape == (25, 64)
    # Each is one of the rows, in their order.
    places = [int(np.abs(every - row).sum(axis=1).argmin()) for row in some]
    assert places == sorted(set(places))
    assert np.allclose(every[places], some, atol=1e-5)
    assert np.array_equal(some, familiarity.features(model, ("pool2",), "unit", world.train))


@pytest.mark.parametrize(
    ("largest", "allowed"), [(0.9, 0.05), (0.1, 0.05), (0.004, 0.002), (0.0001, 0.05), (0.0, 0.05)]
)
def test_who_tells_nothing_but_0_is_found_out(largest: float, allowed: float) -> None:
    """Where golden samples have some familiarity, an engine that answers 0 is farther off than it may be."""
    answers = np.asarray([0, largest / 3, largest], np.float32)
    assert familiarity.tolerance(answers) == pytest.approx(allowed, rel=1e-5)
