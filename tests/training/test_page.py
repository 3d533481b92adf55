"""The report of a run, as a browser shows it."""

import html
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import keras
import pytest

from training import page, tasks
from training.runs import Run, RunError
from training.zoo import ARCHITECTURES, Architecture

CHROMIUM = shutil.which("chromium")

PROBE = """<!doctype html><iframe src="report.html" style="width: 390px; height: 800px"></iframe><script>
document.querySelector("iframe").onload = (event) => {
  const page = event.target.contentDocument, view = event.target.contentWindow;
  document.body.dataset.found = JSON.stringify({
    images: page.images.length,
    loaded: [...page.images].filter((image) => image.complete && image.naturalWidth > 20).length,
    named: [...page.images].filter((image) => image.alt).length,
    names: [...page.images].map((image) => image.alt),
    confused: page.body.textContent.includes("The commonest:"),
    tables: [...page.querySelectorAll("table")].map((table) => table.tBodies[0].rows.length),
    headings: [...page.querySelectorAll("h2")].map((heading) => heading.textContent),
    wide: page.documentElement.scrollWidth,
    line: view.getComputedStyle(page.documentElement).getPropertyValue("--line"),
    requests: view.performance.getEntriesByType("resource").map((entry) => entry.name),
  });
};</script>"""


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


def browse(folder: Path, profile: Path) -> tuple[dict[str, Any], str, list[str]]:
    """Open report.html on a phone's width in the dark: what is there, the console, what was asked for."""
    assert CHROMIUM
    (folder / "probe.html").write_text(PROBE)
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    command += ["--blink-settings=preferredColorScheme=0", "--enable-logging=stderr"]
    command += [f"--user-data-dir={profile}", "--virtual-time-budget=20000", "--dump-dom"]
    with hosting(folder) as (url, asked):
        done = subprocess.run(
            [*command, f"{url}/probe.html"], capture_output=True, text=True, check=True, timeout=200
        )
    found = re.search(r'data-found="([^"]*)"', done.stdout)
    assert found, done.stdout + done.stderr
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return json.loads(html.unescape(found.group(1))), console, asked


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: `make browser` installs it")
@pytest.mark.parametrize("task", ["classification", "localization", "segmentation"])
def test_a_browser_shows_the_report_without_asking_for_anything(
    runs: dict[str, Run], data_dir: Path, tmp_path: Path, task: str
) -> None:
    """All pictures load, all tables have rows, a phone need not scroll sideways, and nothing is fetched."""
    shutil.copytree(runs[task].folder, tmp_path / "run")
    run = Run(tmp_path / "run", runs[task].recipe, runs[task].labels)
    assert page.write(run, data_dir) == tmp_path / "run" / "report.html"
    found, console, asked = browse(run.folder, tmp_path / "profile")
    assert console == ""
    assert [path for path in asked if path != "/favicon.ico"] == ["/probe.html", "/report.html"]
    assert [name for name in found["requests"] if not name.startswith("data:")] == []
    # Curves, confusion, reliability; ten best and ten worst; four explained, three layers' maps.
    assert found["images"] >= 3 + 10 + 10 + 4 + 2
    assert found["loaded"] == found["named"] == found["images"]
    assert len(found["tables"]) == 5 + bool(found["confused"])
    # A blind reader, or one whose script the pictures have no letters for, gets the answers as text.
    answers = [name for name in found["names"] if any(label in name for label in run.labels)]
    assert len(answers) >= (20 if task != "segmentation" else 4)
    assert all(found["tables"])
    assert found["tables"][-1] == len(run.model().operations)
    headings = ["Recipe", "Data", "Curves", "Figures", "Confusion matrix", "Calibration", "Samples", "Layers"]
    assert found["headings"] == headings
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
    tasks.build(run.recipe, 2).save_weights(run.weights)
    text = page.write(run, data_dir).read_text("utf-8")
    assert "What the network looked at" not in text
    assert text.count("<img") == 3 + 10 + 10


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
