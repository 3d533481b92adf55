"""What `--weights` and a recipe's `transfer.weights` may name, and which of several it is."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests import worlds
from training.__main__ import app
from training.fit.runs import open_run
from training.recipes import registry
from training.recipes.weights import RUN, VERSION, located
from training.schema import Recipe, RecipeError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with versions 2 and 10 of `pets`, one of `heads`, and runs `pets` and `mine`."""
    for version in ("models/pets/2", "models/pets/10", "models/pets/.export-x", "models/heads/1"):
        (tmp_path / version / VERSION).parent.mkdir(parents=True)
        (tmp_path / version / VERSION).touch()
    (tmp_path / "models/pets/11").mkdir()  # not a whole one
    for run in ("runs/pets", "runs/mine"):
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / RUN).touch()
    (tmp_path / "heads").mkdir()  # a folder of photos that is called like a model
    (tmp_path / "some.weights.h5").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recipe(weights: str) -> Recipe:
    return worlds.tiny_recipe("classification", transfer={"weights": weights})


def found(weights: str, models: str = "models", runs: str = "runs") -> str:
    return located(recipe(weights), Path(models), Path(runs)).transfer.weights


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ("", ""),
        ("imagenet", "imagenet"),
        ("pets", "models/pets/10"),
        ("pets/2", "models/pets/2"),
        ("models/pets", "models/pets/10"),
        ("models/pets/2", "models/pets/2"),
        ("heads", "models/heads/1"),
        ("mine", "runs/mine"),
        ("runs/pets", "runs/pets"),
        ("some.weights.h5", "some.weights.h5"),
    ],
)
def test_names_and_paths(home: Path, weights: str, expected: str) -> None:
    """A model's name is its newest whole version by number, a run's name its folder; paths are themselves,
    and a folder of photos is none.
    """
    assert found(weights) == expected


def test_other_folders_may_be_given(home: Path) -> None:
    """Models and runs are looked for where the command line says."""
    (home / "models").rename(home / "served")
    (home / "runs").rename(home / "kept")
    assert found("pets", "served", "kept") == "served/pets/10"
    assert found("mine", "served", "kept") == "kept/mine"


def test_a_model_goes_before_a_run_of_its_name_and_that_is_told(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As for `predict --model`; the words say how to have the other one. Of one, nothing is said."""
    assert found("heads") == "models/heads/1"
    assert worlds.logged(caplog, "training") == []
    assert found("pets") == "models/pets/10"
    assert worlds.logged(caplog, "training") == [
        "The weights pets are those of models/pets/10; for runs/pets give that path."
    ]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("cats", r"no weights cats: .* a model in models \(heads, pets\), or a run in runs \(mine, pets\)"),
        ("pets/3", r"no version pets/3: of pets there are 2, 10"),
        ("lost.keras", r"no weights lost\.keras: give imagenet, a \.keras"),
        (".", r"no weights \.:"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(home: Path, weights: str, message: str) -> None:
    """An unknown name comes with all names there are, an unknown version with those of its model."""
    with pytest.raises(RecipeError, match=message):
        found(weights)


def test_nothing_there_is_told_too(tmp_path: Path) -> None:
    """Without models and runs, the error says that there are none."""
    with pytest.raises(RecipeError, match=r"\(none\), or a run in .*\(none\)"):
        found("pets", str(tmp_path / "models"), str(tmp_path / "runs"))


def test_a_recipes_file_may_name_a_model(home: Path) -> None:
    """A name in a TOML file stays one, unless weights of that path lie beside the file; a sweep's is
    resolved, for its trials run elsewhere.
    """
    (home / "recipes").mkdir()
    assert registry.located(recipe("pets"), home / "recipes").transfer.weights == "pets"
    assert registry.located(recipe("heads"), home).transfer.weights == "heads"
    beside = registry.located(recipe("../some.weights.h5"), home / "recipes").transfer.weights
    assert beside == str(home / "some.weights.h5")
    anywhere = registry.PATHS["transfer.weights"]
    assert anywhere(home / "recipes", "pets") == str(home / "models/pets/10")
    assert anywhere(home / "recipes", "imagenet") == "imagenet"
    assert anywhere(home / "recipes", "lost") == "lost"


def test_training_starts_from_a_models_name(
    runs: dict[str, Any], models_dir: Path, data_dir: Path, tmp_path: Path
) -> None:
    """`train --weights NAME --models-dir` takes the version's layers over, and the run says which version."""
    shutil.copytree(models_dir, tmp_path / "models")
    text = worlds.tiny_recipe("classification", name="fine", training={"epochs": 2, "batch_size": 4,
        "learning_rate": 0.001})  # fmt: skip
    path = tmp_path / "fine.toml"
    path.write_text(as_toml(text))
    words = ["train", path, "--weights", "tiny-localization", "--models-dir", tmp_path / "models"]
    places = ["--data-dir", data_dir, "--runs-dir", tmp_path / "runs"]
    result = CliRunner().invoke(app, [str(word) for word in words + places], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    run = open_run(tmp_path / "runs" / "fine")
    assert run.recipe.transfer.weights == str(tmp_path / "models" / "tiny-localization" / "1")
    assert "conv1" in (run.folder / "transfer.json").read_text()
    with pytest.raises(RecipeError, match=r"no weights tiny: .*tiny-classification, tiny-localization"):
        CliRunner().invoke(
            app,
            ["train", str(path), "--weights", "tiny", "--fresh", *map(str, words[4:] + places)],
            catch_exceptions=False,
        )


def as_toml(recipe: Recipe) -> str:
    """Write what the tiny recipes state as TOML."""
    lines = [
        f'{name} = "{getattr(recipe, name)}"'
        for name in ("name", "description", "task", "dataset", "architecture", "golden")
    ]
    for table in ("input", "training"):
        lines.append(f"[{table}]")
        fields = getattr(recipe, table).model_dump(exclude_defaults=True)
        lines += [f"{key} = {value}" for key, value in fields.items()]
    return "\n".join(lines)
