"""What an export holds, and when it fails."""

import json
import math
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from service.manifest import Manifest, manifest_path
from training import export as exporting
from training import halves
from training.evaluation import evaluate, words
from training.export import ExportError, export
from training.fit.runs import Run
from training.schema import Recipe


def test_weights_are_written_once(runs: dict[str, Run], models_dir: Path) -> None:
    """The variables take two bytes per weight of a kernel and four per other parameter, and hardly more."""
    for run in runs.values():
        folder = models_dir / run.recipe.name / "1"
        size = (folder / "variables" / "variables.data-00000-of-00001").stat().st_size
        weights = run.model().weights
        needed = sum(math.prod(one.shape) * (2 if len(one.shape) > 1 else 4) for one in weights)
        assert needed <= size < needed + 16_384


@pytest.mark.parametrize(("weight", "holds"), [(0.1, True), (1000.3, False)])
def test_weights_that_half_the_digits_would_change_stay_whole(weight: float, holds: bool) -> None:
    """Near 1000 a float16 steps by 0.5: where that shows in the answers, the weights are what they were."""
    layer = keras.layers.Dense(1, use_bias=False)
    model = keras.Sequential([keras.Input((1,)), layer])
    layer.set_weights([np.asarray([[weight]], np.float32)])
    ones = np.ones((1, 1), np.float32)
    answers = halves.settle(model, lambda: {"scores": np.asarray(model(ones))})
    kept = float(np.float16(weight)) if holds else float(np.float32(weight))
    assert float(layer.kernel[0, 0]) == answers["scores"][0, 0] == kept
    assert halves.is_rounded(layer.kernel) is holds
    stored = halves.Kept(model).weights[0]
    assert stored.dtype == (tf.float16 if holds else tf.float32)


def test_where_all_is_too_much_the_larger_half_is_rounded() -> None:
    """A small kernel that would change the answers stays whole, and the larger one takes half the room."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, use_bias=False)])
    model.add(keras.layers.Dense(1, use_bias=False))
    model.set_weights([np.full((2, 2), 0.125, np.float32), np.full((2, 1), 1000.3, np.float32)])
    ones = np.ones((1, 2), np.float32)
    before = float(model(ones)[0, 0])
    answers = halves.settle(model, lambda: {"scores": np.asarray(model(ones))})
    assert abs(answers["scores"][0, 0] - before) < halves.LIMIT
    assert [one.dtype for one in halves.Kept(model).weights] == [tf.float16, tf.float32]


def test_signature_takes_bytes_and_names_its_outputs(runs: dict[str, Run], models_dir: Path) -> None:
    """serving_default takes uint8 images of any number and gives float32 by name, normalised inside."""
    for run in runs.values():
        loaded = tf.saved_model.load(str(models_dir / run.recipe.name / "1"))
        signature = loaded.signatures["serving_default"]
        spec = signature.structured_input_signature[1]["image"]
        assert spec.dtype == tf.uint8
        assert spec.shape.as_list() == [None, 32, 32, 3]
        outputs = signature(image=tf.zeros([3, 32, 32, 3], tf.uint8))
        assert set(outputs) == set(run.model().output)
        assert {value.dtype for value in outputs.values()} == {tf.float32}
        assert {value.shape[0] for value in outputs.values()} == {3}


def test_manifest_says_all_and_matches_the_folder(runs: dict[str, Run], models_dir: Path) -> None:
    """The manifest has every file with its digest, the evaluation, the recipe and the layer table."""
    for run in runs.values():
        folder = models_dir / run.recipe.name / "1"
        manifest = Manifest.model_validate_json(manifest_path(folder).read_bytes())
        files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        assert set(manifest.files) == files - {"assets.extra/manifest.json"}
        assert {"curves.png", "evaluation.json", "golden.npz", "history.csv"} <= {Path(f).name for f in files}
        assert Recipe.model_validate(manifest.recipe) == run.recipe
        assert (
            manifest.evaluation.figures == json.loads((run.folder / "evaluation.json").read_text())["figures"]
        )
        assert manifest.totals.parameters == run.model().count_params()


def test_baselines_are_exported(runs: dict[str, Run], models_dir: Path) -> None:
    """Beside every figure of overlap or of right answers, the manifest has that of a constant answer."""
    for run in runs.values():
        folder = models_dir / run.recipe.name / "1"
        evaluation = Manifest.model_validate_json(manifest_path(folder).read_bytes()).evaluation
        told = {name for name in evaluation.figures if name != "ece" and not name.endswith("_bias")}
        assert set(evaluation.baselines) == told
        assert all(each.answer for each in evaluation.baselines.values())
        measured = evaluate.read(run)
        assert measured
        assert evaluation.remarks == tuple(measured.remarks)
        for remark in evaluation.remarks:
            assert f"Note: {remark}" in words.describe(measured).splitlines()


def test_an_export_leaves_no_trace_of_failure(
    runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the SavedModel's answers differ from Keras's, the export fails and the folder stays empty."""
    # A tolerance that no two computations can meet stands for a graph that computes something else.
    monkeypatch.setattr(exporting, "AGREEMENT", -1.0)
    with pytest.raises(ExportError, match="differs from Keras"):
        export(runs["classification"], tmp_path)
    assert not list((tmp_path / "tiny-classification").iterdir())


def test_a_run_must_be_evaluated_first(runs: dict[str, Run], tmp_path: Path) -> None:
    """Without held-out figures nothing is exported."""
    folder = tmp_path / "run"
    shutil.copytree(runs["classification"].folder, folder)
    (folder / "evaluation.json").unlink()
    run = Run(folder, runs["classification"].recipe, runs["classification"].labels)
    with pytest.raises(ExportError, match="not evaluated"):
        export(run, tmp_path / "models")


def test_no_path_is_told(runs: dict[str, Run], tmp_path: Path) -> None:
    """Of the folder that weights came from, the manifest has the name alone."""
    run = runs["classification"]
    moved = run.recipe.transfer.model_copy(update={"weights": "/home/somebody/runs/other"})
    recipe = run.recipe.model_copy(update={"transfer": moved})
    folder = export(Run(run.folder, recipe, run.labels), tmp_path)
    assert "somebody" not in manifest_path(folder).read_text()
    manifest = Manifest.model_validate_json(manifest_path(folder).read_bytes())
    assert manifest.recipe["transfer"]["weights"] == "other"


def test_versions_count_up(runs: dict[str, Run], models_dir: Path, tmp_path: Path) -> None:
    """The next export is the next number, whatever else lies in the folder."""
    home = tmp_path / "tiny-classification"
    (home / "7").mkdir(parents=True)
    (home / "notes").mkdir()
    assert export(runs["classification"], tmp_path).name == "8"


def test_golden_samples_read_without_pickle(models_dir: Path) -> None:
    """golden.npz holds plain arrays: encoded bytes and the rows for them."""
    path = models_dir / "tiny-segmentation" / "1" / "assets.extra" / "golden.npz"
    with np.load(path, allow_pickle=False) as archive:
        count = len(archive["names"])
        assert archive["answer_mask"].shape == (count, 32, 32, 3)
        assert archive["data_0"].tobytes().startswith(b"\x89PNG")
