"""The report of a run, as a browser shows it."""

import base64
import io
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import keras
import pytest
from PIL import Image

from tests import browser
from training.fit.checkpoints import write_history
from training.fit.runs import Run, RunError, read_history
from training.reports import page
from training.tasks import heads
from training.zoo import ARCHITECTURES, Architecture

LOOK = """return {
    images: document.images.length,
    loaded: [...document.images].filter((image) => image.complete && image.naturalWidth > 20).length,
    named: [...document.images].filter((image) => image.alt).length,
    names: [...document.images].map((image) => image.alt),
    confused: document.body.textContent.includes("The commonest:"),
    tables: [...document.querySelectorAll("table")].map((table) => table.tBodies[0].rows.length),
    headings: [...document.querySelectorAll("h2")].map((heading) => heading.textContent),
    wide: document.documentElement.scrollWidth,
    line: getComputedStyle(document.documentElement).getPropertyValue("--line"),
    requests: performance.getEntriesByType("resource").map((entry) => entry.name),
}"""


@contextmanager
def hosting(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder on a free port; give its address, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def browse(folder: Path, profile: Path) -> tuple[dict[str, Any], list[str], list[str]]:
    """Open report.html on a phone's width in the dark: what is there, the console, what was asked for."""
    with hosting(folder) as (url, asked), browser.browsing(profile) as page:
        page.look_as(390, 800, "dark")
        page.open(f"{url}/report.html")
        found: dict[str, Any] = page.run(LOOK)
        return found, [line for line in page.console if "/favicon.ico" not in line], asked


@pytest.fixture(scope="module")
def reported(
    runs: dict[str, Run], data_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Run]:
    """What gives a task's run with its report, which takes seconds to write and is written once."""

    @cache
    def report(task: str) -> Run:
        folder = tmp_path_factory.mktemp("reported") / "run"
        shutil.copytree(runs[task].folder, folder)
        run = Run(folder, runs[task].recipe, runs[task].labels)
        assert page.write(run, data_dir) == folder / "report.html"
        return run

    return report


@browser.needed
@pytest.mark.parametrize("task", ["classification", "localization", "segmentation"])
def test_a_browser_shows_the_report_without_asking_for_anything(
    reported: Callable[[str], Run], tmp_path: Path, task: str
) -> None:
    """All pictures load, all tables have rows, a phone need not scroll sideways, and nothing is fetched."""
    run = reported(task)
    found, console, asked = browse(run.folder, tmp_path)
    assert console == []
    assert [path for path in asked if path != "/favicon.ico"] == ["/report.html"]
    assert [name for name in found["requests"] if not name.startswith("data:")] == []
    # Confusion; ten best and ten worst; four explained, three layers' maps. Of one epoch there are no curves,
    # of ten answers no calibration.
    assert found["images"] >= 1 + 10 + 10 + 4 + 2
    assert found["loaded"] == found["named"] == found["images"]
    assert len(found["tables"]) == 5 + bool(found["confused"])
    # A blind reader, or one whose script the pictures have no letters for, gets the answers as text.
    answers = [name for name in found["names"] if any(label in name for label in run.labels)]
    assert len(answers) >= (20 if task != "segmentation" else 4)
    assert all(found["tables"])
    assert found["tables"][-1] == len(run.model().operations)
    assert found["headings"] == ["Figures", "Confusion matrix", "Samples", "Data", "Recipe", "Layers"]
    assert found["wide"] <= 390
    assert found["line"] == "#424949"


def test_what_users_name_cannot_become_markup(runs: dict[str, Run], data_dir: Path, tmp_path: Path) -> None:
    """A recipe's words are shown as they are, never as a part of the page."""
    plain = runs["classification"]
    shutil.copytree(plain.folder, tmp_path / "run")
    recipe = plain.recipe.model_copy(update={"description": "<script>alert(1)</script>"})
    text = page.write(Run(tmp_path / "run", recipe, plain.labels), data_dir).read_text("utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_a_network_without_maps_is_reported_too(
    runs: dict[str, Run], data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network of dense layers has no feature maps: the page goes without, and has all the rest."""
    dense = Architecture("dense", build_dense, "Dense", (32, 32, 3))
    monkeypatch.setitem(ARCHITECTURES, "lecture-cnn-a", dense)
    plain = runs["classification"]
    shutil.copytree(plain.folder, tmp_path / "run")
    run = Run(tmp_path / "run", plain.recipe, plain.labels)
    heads.build(run.recipe, 2).save_weights(run.weights)
    text = page.write(run, data_dir).read_text("utf-8")
    assert "What the network looked at" not in text
    assert text.count("<img") == 1 + 10 + 10


def test_plots_come_with_what_they_show(runs: dict[str, Run], data_dir: Path, tmp_path: Path) -> None:
    """Of two epochs there are curves, and of fifty answers there is a calibration; the results come first,
    the recipe is folded, and the parts that the page names are those that it has.
    """
    plain = runs["classification"]
    shutil.copytree(plain.folder, tmp_path / "run")
    run = Run(tmp_path / "run", plain.recipe, plain.labels)
    (row,) = read_history(run.folder / "history.csv")
    write_history(run.folder / "history.csv", [row, row | {"epoch": 1.0}])
    kept = json.loads((run.folder / "evaluation.json").read_text("utf-8"))
    (run.folder / "evaluation.json").write_text(json.dumps(kept | {"count": 50}))
    text = page.write(run, data_dir).read_text("utf-8")
    order = ["figures", "confusion", "calibration", "samples", "curves", "data", "recipe", "layers"]
    assert re.findall(r'<h2 id="(\w+)">', text) == re.findall(r'<a href="#(\w+)">', text) == order
    assert re.search(r"<details><summary>\d+ settings</summary>\s*<div[^>]*><table>", text)
    assert [text.count(f'alt="{word}') for word in ("Loss", "Confusion", "How often")] == [1, 1, 1]


@pytest.mark.parametrize("task", ["classification", "localization", "segmentation"])
def test_photos_keep_their_aspect(reported: Callable[[str], Run], task: str) -> None:
    """The samples are 60x48, the network's input is square: what is shown is 5 to 4 again."""
    text = (reported(task).folder / "report.html").read_text("utf-8")
    shown = re.findall(r'src="data:image/png;base64,([^"]+)" alt="(best|worst) \d', text)
    assert len(shown) == 20
    for data, _ in shown:
        width, height = Image.open(io.BytesIO(base64.b64decode(data))).size
        # A strip of 34 for the caption; a mask has the truth beside it.
        assert (width, height) == (320 if task == "segmentation" else 160, 128 + 34)


def build_dense(shape: tuple[int, int, int]) -> Any:
    """Build a backbone of one dense layer."""
    image = keras.layers.Input(shape, name="image")
    flat = keras.layers.Flatten(name="flatten")(image)
    return keras.Model(image, keras.layers.Dense(4, name="dense")(flat), name="dense-net")


def test_a_run_must_be_evaluated_before_it_is_reported(
    runs: dict[str, Run], data_dir: Path, tmp_path: Path
) -> None:
    """Without an evaluation, or with one from before there were samples in it, it says what to do."""
    plain = runs["classification"]
    shutil.copytree(plain.folder, tmp_path / "run")
    run = Run(tmp_path / "run", plain.recipe, plain.labels)
    kept = json.loads((run.folder / "evaluation.json").read_text("utf-8"))
    del kept["details"]
    (run.folder / "evaluation.json").write_text(json.dumps(kept))
    with pytest.raises(RunError, match="run `evaluate` on it first"):
        page.write(run, data_dir)
    (run.folder / "evaluation.json").unlink()
    with pytest.raises(RunError, match="run `evaluate` on it first"):
        page.write(run, data_dir)
