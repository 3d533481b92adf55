"""Answers without a server are the server's."""

import csv
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from service.errors import NotAnImage
from service.manifest import Manifest, manifest_path
from tests import worlds
from training.__main__ import app
from training.fit.runs import Run
from training.golden import draw_pet
from training.prediction.answers import Table
from training.prediction.predict import Photos
from training.prediction.served import PredictError

PATHS = {"classification": "/classify", "localization": "/localize", "segmentation": "/segment"}

BINARY = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Photos of several sizes and formats, in folders, beside what is none."""
    chance = np.random.default_rng(3)
    folder = tmp_path / "photos"
    (folder / "in" / "deep").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for number, name in enumerate(("a.jpg", "a.png", "in/b.webp", "in/deep/c.JPG", ".hidden/d.jpg")):
        Image.fromarray(draw_pet(chance, 60 + 40 * number, 90)).save(folder / name)
    (folder / "notes.txt").write_text("nothing to see")
    return folder


FOUND = ("a.jpg", "a.png", "in/b.webp", "in/deep/c.JPG")


def predict(*arguments: object) -> Result:
    """Run the command."""
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


@pytest.fixture(autouse=True)
def float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow's precision is one for a process, which other tests share."""
    monkeypatch.setenv("STRIATE_PRECISION", "float32")


@pytest.fixture(scope="module")
def exact(models_dir: Path, engine: str) -> Iterator[worlds.Server]:
    """A server on each engine in turn, with that precision."""
    with worlds.serving(models_dir, engine=engine, precision="float32") as running:
        yield running


@pytest.mark.parametrize("task", list(PATHS))
def test_answers_are_those_of_the_service(
    exact: worlds.Server,
    engine: str,
    models_dir: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    task: str,
) -> None:
    """Whatever the task and the engine, each result with its file, in the order of the names."""
    monkeypatch.setenv("STRIATE_ENGINE", engine)
    (photos / "broken.jpg").write_bytes(b"no picture")
    model = ("--model", f"tiny-{task}", "--models-dir", models_dir)
    done = predict(photos, *model, "--to", tmp_path / "out" / "all.json")
    assert done.exit_code == 1
    told = json.loads((tmp_path / "out" / "all.json").read_text("utf-8"))
    expected = []
    for name in sorted((*FOUND[:2], "broken.jpg")) + list(FOUND[2:]):
        data = (photos / name).read_bytes()
        response = httpx.post(f"{exact.url}{PATHS[task]}?model=tiny-{task}", content=data, headers=BINARY)
        body = response.json()
        if name == "broken.jpg":
            assert body.pop("request_id")
            expected.append({"file": str(photos / name), "error": body})
        else:
            assert told["model"] == body["model"] == {"name": f"tiny-{task}", "version": 1}
            expected.append({"file": str(photos / name), **body["results"][0]})
    _agree(told["results"], expected)
    assert "4 photos answered, 1 other files passed over; 1 could not be" in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["all.json"]


def _agree(found: Any, expected: Any) -> None:
    """Compare JSON: all the same, but numbers to their last digit (see docs/training.md)."""
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            _agree(found[key], value)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            _agree(one, other)
    else:
        # Pixels of a box have two digits, probabilities six.
        digit = 0.0101 if isinstance(expected, float) and expected > 1 else 2e-6
        assert found == (pytest.approx(expected, abs=digit) if isinstance(expected, float) else expected)


def test_a_table_has_a_row_for_each_photo(models_dir: Path, photos: Path, tmp_path: Path) -> None:
    """Its columns are the task's, the broken ones say why, and the order is that of the arguments."""
    (photos / "empty.png").write_bytes(b"")
    rows = {}
    for task in PATHS:
        place = tmp_path / f"{task}.csv"
        options = ("--model", f"tiny-{task}", "--models-dir", models_dir, "--to", place)
        done = predict(photos / "in", photos / "empty.png", photos / "a.jpg", *options)
        assert done.exit_code == 1
        rows[task] = list(csv.DictReader(place.read_text("utf-8").splitlines()))
        assert [Path(row["file"]).name for row in rows[task]] == ["b.webp", "c.JPG", "empty.png", "a.jpg"]
        assert [bool(row["error"]) for row in rows[task]] == [False, False, True, False]
        assert rows[task][2]["error"] == "The image is empty: it has 0 bytes. Send the whole file."
    named = rows["classification"][0]
    assert named["label"] in {"cat", "dog"}
    assert 0.5 <= float(named["score"]) <= 1
    boxed = rows["localization"][3]
    assert (boxed["width"], boxed["height"]) == ("60", "90")
    assert 0 <= float(boxed["x_min"]) <= float(boxed["x_max"]) <= 60
    shares = [value for key, value in rows["segmentation"][0].items() if key.startswith("fraction of ")]
    assert len(shares) == 3
    assert sum(map(float, shares)) == pytest.approx(1, abs=1e-5)


def test_files_that_are_none_are_entries(models_dir: Path, photos: Path, tmp_path: Path) -> None:
    """A named pipe, a link to nowhere and a photo without its end are told, none is waited for, and all else
    is answered; a threshold counts.
    """
    os.mkfifo(photos / "pipe.jpg")
    (photos / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (photos / "cut.jpg").write_bytes((photos / "a.jpg").read_bytes()[:400])
    options = ("--model", "tiny-classification", "--models-dir", models_dir)
    done = predict(photos, *options, "--threshold", 1)
    assert done.exit_code == 1
    lines = dict(line.removeprefix(f"{photos}/").split(": ", 1) for line in done.stdout.splitlines())
    assert lines["pipe.jpg"] == "error: It is not a file but a device, a pipe or a folder."
    assert lines["gone.jpg"] == "error: The file cannot be read: No such file or directory."
    assert lines["cut.jpg"].startswith("error: ")
    assert all(lines[name].startswith("unsure 0.") for name in FOUND)
    assert len(lines) == 7
    whole = predict(photos / "a.jpg", *options)
    assert whole.exit_code == 0
    assert whole.stderr == (
        "1 photos answered.\nBefore the model sees a photo, it is stretched to exactly 32x32 (bilinear, with "
        "antialiasing), not keeping its aspect.\n"
    )


def test_pictures_are_those_of_the_service(
    exact: worlds.Server,
    engine: str,
    models_dir: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A folder gets one for each photo, by its whole name, and a table of the answers."""
    monkeypatch.setenv("STRIATE_ENGINE", engine)
    options = ("--models-dir", models_dir, "--to", tmp_path / "seen")
    assert predict(photos, "--model", "tiny-localization", *options).exit_code == 0
    drawn = {path.relative_to(tmp_path / "seen").as_posix() for path in (tmp_path / "seen").rglob("*.png")}
    assert drawn == {f"{name}.png" for name in FOUND}
    for name in FOUND:
        response = httpx.post(
            f"{exact.url}/localize?model=tiny-localization&overlay=true",
            content=(photos / name).read_bytes(),
            headers={"Accept": "image/png", **BINARY},
        )
        assert (tmp_path / "seen" / f"{name}.png").read_bytes() == response.content
    assert len((tmp_path / "seen" / "answers.csv").read_text("utf-8").splitlines()) == 5


def test_a_model_is_a_name_a_version_or_a_run(
    models_dir: Path, runs: dict[str, Run], photos: Path, tmp_path: Path
) -> None:
    """The version that the service would have live, one that is asked for, or a run, which says so."""
    home = tmp_path / "models" / "tiny-classification"
    home.mkdir(parents=True)
    for version in (1, 2):
        shutil.copytree(models_dir / "tiny-classification" / "1", home / str(version))
        manifest = Manifest.model_validate_json(manifest_path(home / str(version)).read_bytes())
        changed = manifest.model_copy(update={"version": version})
        manifest_path(home / str(version)).write_text(changed.model_dump_json())

    def told(model: object) -> dict[str, object]:
        folders = ("--models-dir", tmp_path / "models", "--runs-dir", runs["classification"].folder.parent)
        done = predict(photos / "a.jpg", "--model", model, *folders, "--to", tmp_path / "out.json")
        assert done.exit_code == 0, done.output
        found: dict[str, object] = json.loads((tmp_path / "out.json").read_text("utf-8"))
        return found

    newest = told("tiny-classification")
    assert newest["model"] == {"name": "tiny-classification", "version": 2}
    (home / "policy.json").write_text('{"pin": 1}')
    for model in ("tiny-classification", "tiny-classification/1", home / "1"):
        assert told(model)["model"] == {"name": "tiny-classification", "version": 1}
    run = runs["classification"].folder
    assert told(run) == {"model": {"name": run.name, "run": str(run)}, "results": newest["results"]}
    assert told("tiny-localization")["model"] == {
        "name": "tiny-localization",
        "run": str(runs["localization"].folder),
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("photos", "--model", "none"),
            "There is no model none: .* one of these names: half, odd, tiny-classification",
        ),
        (("nowhere", "--model", "tiny-classification"), "There is no nowhere: give photos"),
        (("bare", "--model", "tiny-classification"), "There is no photo in bare: of 1 files none has a name"),
        (("photos", "--model", "tiny-localization", "--to", "out.xlsx"), "give a .csv, a .json, or a folder"),
        (
            ("photos", "--model", "tiny-localization", "--to", "photos/seen"),
            "lies within the photos in",
        ),
        (
            ("photos", "--model", "tiny-classification", "--to", "seen"),
            "Pictures are drawn of boxes and masks",
        ),
        (("photos", "--model", "tiny-localization", "--to", "dir.csv"), "dir.csv is a folder"),
        (("photos", "--model", "models/half/1"), "models/half/1 cannot be used: "),
        (
            ("photos", "--model", "models/odd/1"),
            "models/odd/1 cannot be used: saved_model.pb is not",
        ),
    ],
)
def test_what_cannot_be_answered_says_why(
    models_dir: Path,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    message: str,
) -> None:
    """No model, no photo, no place for the answers, a version that is not whole: nothing is written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    for task in ("classification", "localization"):
        shutil.copytree(models_dir / f"tiny-{task}", tmp_path / "models" / f"tiny-{task}")
    for name in ("half", "odd"):
        shutil.copytree(models_dir / "tiny-localization" / "1", tmp_path / "models" / name / "1")
    manifest_path(tmp_path / "models" / "half" / "1").write_text("{}")
    (tmp_path / "models" / "odd" / "1" / "saved_model.pb").write_bytes(b"other")
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "notes.txt").write_text("nothing")
    (tmp_path / "dir.csv").mkdir()
    before = sorted(tmp_path.rglob("*"))
    done = predict(*arguments)
    assert done.exit_code == 1
    assert isinstance(done.exception, PredictError)
    with pytest.raises(PredictError, match=message):
        raise done.exception
    assert sorted(tmp_path.rglob("*")) == before


def test_what_was_answered_is_kept_whatever_ends_it(models_dir: Path, tmp_path: Path) -> None:
    """A table that is closed early has all rows until then, and no name of a file spoils it."""
    manifest = Manifest.model_validate_json(
        manifest_path(models_dir / "tiny-classification" / "1").read_bytes()
    )
    table = Table(tmp_path / "out.csv", manifest)
    table.add('a "b", c\n.jpg', NotAnImage("It is none."))
    assert not (tmp_path / "out.csv").exists()
    table.close()
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row == {"file": 'a "b", c\n.jpg', "label": "", "score": "", "error": "It is none."}


def test_a_folder_is_not_listed_before_it_is_answered(tmp_path: Path) -> None:
    """Its photos come while it is walked: the first one is there though a later folder is still empty."""
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
    (tmp_path / "1" / "a.jpg").touch()
    found = iter(Photos([tmp_path]))
    assert next(found) == (tmp_path / "1" / "a.jpg", Path("1/a.jpg"))
    (tmp_path / "2" / "b.jpg").touch()
    assert [below.as_posix() for _, below in found] == ["2/b.jpg"]
