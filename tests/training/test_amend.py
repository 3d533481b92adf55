"""Versions that are changed after their export: baselines measured anew, familiarity added."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from typer.testing import CliRunner

from service.manifest import FORMAT, Familiarity, Manifest, golden_path, manifest_path
from tests import worlds
from training import amend
from training.__main__ import app
from training.amend import AmendError
from training.datasets.reading import file_digest
from training.evaluation import familiarity
from training.export import export
from training.fit.runs import Run


def test_baselines_of_an_older_version_are_measured_anew(
    models_dir: Path, data_dir: Path, tmp_path: Path
) -> None:
    """A version without baselines gets those that its export would have had; its digests are right again."""
    folder = tmp_path / "1"
    shutil.copytree(models_dir / "tiny-localization" / "1", folder)
    fresh = Manifest.model_validate_json(manifest_path(folder).read_bytes())
    bare = fresh.evaluation.model_copy(update={"baselines": {}, "remarks": ()})
    old = fresh.model_copy(update={"format": 1, "evaluation": bare})
    manifest_path(folder).write_text(old.model_dump_json(exclude={"evaluation": {"baselines", "remarks"}}))
    kept = json.loads((folder / "assets.extra" / "evaluation.json").read_text())
    kept = {name: value for name, value in kept.items() if name not in ("baselines", "remarks")}
    (folder / "assets.extra" / "evaluation.json").write_text(json.dumps(kept))
    amend.restate(folder, data_dir)
    again = Manifest.model_validate_json(manifest_path(folder).read_bytes())
    assert again.evaluation == fresh.evaluation
    assert again.format == FORMAT
    for name, digest in again.files.items():
        assert file_digest(folder / name) == digest


def manifest_of(folder: Path) -> Manifest:
    """Read a version's manifest."""
    return Manifest.model_validate_json(manifest_path(folder).read_bytes())


def goldens_of(folder: Path) -> dict[str, bytes]:
    """Read a version's golden samples, member by member."""
    with np.load(golden_path(folder)) as archive:
        return {name: archive[name].tobytes() for name in archive.files}


def exported_before(run: Run, place: Path) -> Path:
    """Export the run as a release did that knew of no familiarity: format 2."""
    folder = place / "run"
    shutil.copytree(run.folder, folder)
    (folder / familiarity.FILE).unlink()
    kept = json.loads((folder / "evaluation.json").read_text())
    del kept["details"]["familiarity"]
    (folder / "evaluation.json").write_text(json.dumps(kept))
    version = export(Run(folder, run.recipe, run.labels), place / "models")
    text = json.loads(manifest_path(version).read_text())
    del text["familiarity"], text["tolerance"]["familiarity"]
    manifest_path(version).write_text(json.dumps(text | {"format": 2}))
    return version


@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_familiarity_is_added_without_training(
    larger_runs: dict[str, Run], larger_data_dir: Path, tmp_path: Path, task: str
) -> None:
    """The next version has what an export of the run would have; weights, golden samples and figures stay."""
    old = exported_before(larger_runs[task], tmp_path)
    assert manifest_of(old).familiarity is None
    new, told = amend.add_familiarity(old, larger_data_dir)
    assert new == old.parent / "2"
    before, after = manifest_of(old), manifest_of(new)
    fresh = manifest_of(export(larger_runs[task], tmp_path / "fresh"))
    assert after.familiarity == fresh.familiarity
    assert told == [familiarity.describe(after.familiarity.model_dump() if after.familiarity else {})]
    assert (after.outputs, after.tolerance) == (fresh.outputs, fresh.tolerance)
    assert (after.version, after.format) == (2, FORMAT)
    same = {"layers", "totals", "evaluation", "recipe", "labels", "temperature", "threshold", "input", "data"}
    assert after.model_dump(include=same) == before.model_dump(include=same)
    assert goldens_of(new).items() >= goldens_of(old).items()
    weights = [tf.train.load_checkpoint(str(each / "variables" / "variables")) for each in (old, new)]
    for name in weights[0].get_variable_to_shape_map():
        if name.startswith("weights/"):
            assert weights[0].get_tensor(name).dtype == weights[1].get_tensor(name).dtype
            assert np.array_equal(weights[0].get_tensor(name), weights[1].get_tensor(name))
    sizes = [(each / "variables/variables.data-00000-of-00001").stat().st_size for each in (old, new)]
    # The same tensors; beside them lies a list of their names, with numbers of one digit or two.
    assert abs(sizes[0] - sizes[1]) < 1000
    for name, digest in after.files.items():
        assert file_digest(new / name) == digest
    kept = json.loads((new / "assets.extra" / "evaluation.json").read_text())["details"]["familiarity"]
    assert Familiarity.model_validate(kept) == after.familiarity


def test_the_command_tells_where_the_data_has_grown(larger_runs: dict[str, Run], tmp_path: Path) -> None:
    """Familiarity is of the data as it is now; the command says so, and names the new version's folder."""
    old = exported_before(larger_runs["classification"], tmp_path)
    worlds.draw_pet_dataset(tmp_path / "more", 300)
    done = CliRunner().invoke(app, ["familiarity", str(old), "--data-dir", str(tmp_path / "more")])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == f"{old} -> {old.parent / '2'}"
    assert lines[1].startswith("familiarity, by 30 validation images: below 0.05, a false alarm for ")
    assert lines[2].startswith("Note: its data has 300 test images now, and had 200 when the version was ")


def test_a_version_that_answers_otherwise_is_not_amended(
    larger_runs: dict[str, Run], larger_data_dir: Path, tmp_path: Path
) -> None:
    """Where the network that is built here answers the golden samples otherwise, nothing is written."""
    old = exported_before(larger_runs["classification"], tmp_path)
    with np.load(golden_path(old)) as archive:
        members = dict(archive)
    members["answer_scores"] = members["answer_scores"][:, ::-1]
    np.savez_compressed(golden_path(old), **members)
    with pytest.raises(AmendError, match="scores of its golden samples otherwise"):
        amend.add_familiarity(old, larger_data_dir)
    assert [path.name for path in old.parent.iterdir()] == ["1"]


def test_too_little_data_is_told(models_dir: Path, data_dir: Path) -> None:
    """Of a version with a few validation images no familiarity is told, and the reason is."""
    with pytest.raises(AmendError, match=r"validation images: of fewer than 20, a share says too little"):
        amend.add_familiarity(models_dir / "tiny-classification" / "1", data_dir)
