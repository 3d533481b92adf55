"""Sweeps: what a file becomes, and how it is refused."""

from pathlib import Path

import pytest

from training.sweeps import sweep
from training.sweeps.plan import Sweep, SweepError
from training.sweeps.sweep import load, parse, trials

TEXT = """
name = "small"
description = "For tests."
[base]
task = "classification"
input = { height = 28, width = 28, channels = 1 }
training = { epochs = 2, batch_size = 32, learning_rate = 0.1 }
[grid]
dataset = ["mnist", "fashion-mnist"]
architecture = ["lecture-cnn-a", "lecture-cnn-b"]
training.learning_rate = [0.001, 0.002]
[[where]]
match.dataset = "fashion-mnist"
set.training.epochs = 5
[[exclude]]
dataset = "mnist"
architecture = ["lecture-cnn-b"]
"""

RANGES = """
[ranges]
training.weight_decay = { low = 1e-4, high = 0.1, log = true }
training.batch_size = { low = 8, high = 64, whole = true }
[search]
samples = 2
"""


def test_the_grid_becomes_recipes() -> None:
    """Every combination but the excluded is a recipe, with the base's fields and what fits it."""
    found = trials(parse(TEXT, "small.toml"))
    assert [trial.name for trial in found] == [
        "1-mnist-lecture-cnn-a",
        "2-mnist-lecture-cnn-a",
        "3-fashion-mnist-lecture-cnn-a",
        "4-fashion-mnist-lecture-cnn-a",
        "5-fashion-mnist-lecture-cnn-b",
        "6-fashion-mnist-lecture-cnn-b",
    ]
    assert [trial.recipe.training.learning_rate for trial in found] == [0.001, 0.002] * 3
    assert [trial.recipe.training.epochs for trial in found] == [2, 2, 5, 5, 5, 5]
    assert found[0].settings["training.learning_rate"] == 0.001


def test_ranges_are_drawn_alike_each_time() -> None:
    """Draws stay within their range, differ between trials, and are the same after a restart."""
    plan = parse(TEXT + RANGES, "small.toml")
    found = trials(plan)
    assert len(found) == 12
    settings = [trial.recipe.training for trial in found]
    assert all(1e-4 <= item.weight_decay <= 0.1 and 8 <= item.batch_size <= 64 for item in settings)
    assert len({item.weight_decay for item in settings}) == 12
    assert trials(Sweep.model_validate_json(plan.model_dump_json())) == found


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[grid]", "[gird]"), r"small\.toml: grid: Field required"),
        (("[0.001, 0.002]", "[]"), "training.learning_rate has no values"),
        (("[0.001, 0.002]", "[0.001, 0.001]"), "training.learning_rate names a value twice"),
        (
            ("[0.001, 0.002]", "[0.001, -1]"),
            r"trial 03-mnist-\S+: training\.learning_rate: .*greater",
        ),
        (("batch_size", "batchsize"), r"training\.batchsize: there is no such setting"),
        (('"mnist", ', '"mnst", "mnist", '), "no data set 'mnst'"),
        (
            ('match.dataset = "fashion', 'match.dataset = "passion'),
            r"where.* number 1 matches no trial",
        ),
        (('dataset = "mnist"', 'dataset = "minst"'), r"exclude.* number 1 matches no trial"),
        (("training = {", "training = 3 #"), "training is a value, not a table"),
        (("name =", "name"), "not valid TOML"),
        (("low = 1e-4", "low = 1.0"), "low must be below high"),
        (("low = 1e-4", "low = 0.0"), "low must be above 0"),
        (('["lecture-cnn-b"]', '["lecture-cnn-b"]\n[[exclude]]\ntask = "classification"'), "number 2"),
    ],
)
def test_a_wrong_sweep_is_refused_by_its_field(change: tuple[str, str], message: str) -> None:
    """The error names the file or trial, the field, and what would be right."""
    text = TEXT + RANGES
    assert change[0] in text
    with pytest.raises(SweepError, match=message):
        trials(parse(text.replace(*change), "small.toml"))


def test_sweeps_are_found_by_file_or_name(tmp_path: Path) -> None:
    """A file wins; a shipped one goes by its name, with or without .toml; else those are listed."""
    (tmp_path / "own.toml").write_text(TEXT)
    assert load(str(tmp_path / "own.toml")).name == "small"
    assert load("lecture") == load("lecture.toml")
    with pytest.raises(SweepError, match=r"There are: .*lecture"):
        load("lectures")


def test_figures_are_compared_within_one_problem() -> None:
    """Two folders, two targets or two tasks of one data set are different problems; two networks are not."""
    recipe = trials(parse(TEXT, "small.toml"))[0].recipe
    other = [
        {"data": "a", "dataset": "folder"},
        {"data": "b", "dataset": "folder"},
        {"target": "fine"},
        {"task": "segmentation"},
        {"dataset": "cifar-10"},
    ]
    names = {sweep.problem(recipe.model_copy(update=change)) for change in other}
    assert len(names) == 5
    assert sweep.problem(recipe.model_copy(update={"architecture": "x"})) == sweep.problem(recipe) == "mnist"


def test_where_sets_nothing_that_the_grid_varies() -> None:
    """Trials would be listed with a setting that they were not trained with."""
    text = TEXT.replace("set.training.epochs = 5", "set.training.learning_rate = 0.02")
    with pytest.raises(SweepError, match=r"number 1 sets training\.learning_rate, which"):
        trials(parse(text, "small.toml"))


def test_folders_are_relative_to_the_file(tmp_path: Path) -> None:
    """As in a recipe: where the command is given has no say."""
    own = TEXT.replace('dataset = ["mnist", "fashion-mnist"]', 'data = ["a", "b"]')
    own = own.replace('task = "classification"', 'task = "classification"\ndataset = "folder"')
    own = own[: own.index("[[where]]")]
    (tmp_path / "own.toml").write_text(own)
    folders = {trial.recipe.data for trial in trials(load(str(tmp_path / "own.toml")))}
    assert folders == {str(tmp_path / "a"), str(tmp_path / "b")}
    (tmp_path / "weights.h5").touch()
    matched = own + (
        '[[where]]\nmatch.data = "a"\nset.transfer.weights = "weights.h5"\n'
        '[[exclude]]\ndata = "b"\narchitecture = "lecture-cnn-a"\n'
    )
    (tmp_path / "matched.toml").write_text(matched)
    found = [trial.recipe for trial in trials(load(str(tmp_path / "matched.toml")))]
    weights = {recipe.data: recipe.transfer.weights for recipe in found}
    assert weights == {str(tmp_path / "a"): str(tmp_path / "weights.h5"), str(tmp_path / "b"): ""}
    assert {recipe.architecture for recipe in found if recipe.data.endswith("b")} == {"lecture-cnn-b"}
    chosen = own.replace('data = ["a", "b"]\n', "").replace("[base]", '[base]\ndata = "a"')
    (tmp_path / "set.toml").write_text(
        chosen + '[[where]]\nmatch.architecture = "lecture-cnn-b"\nset.data = "c"\n'
    )
    folders = {trial.recipe.data for trial in trials(load(str(tmp_path / "set.toml")))}
    assert folders == {str(tmp_path / "a"), str(tmp_path / "c")}
