"""Keras on JAX: trains the same recipes; TensorFlow exports what it trained."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from training.export import export
from training.fit.runs import open_run, read_history

RECIPE = """
name = "elsewhere"
description = "Trained by another backend."
task = "classification"
dataset = "oxford-iiit-pet"
architecture = "lecture-cnn-a"
golden = "pets"
input = { height = 32, width = 32, channels = 3, normalisation = "light-on-dark" }
augmentation = { flip = true, rotation_degrees = 10 }
training = { epochs = 2, batch_size = 8, learning_rate = 0.001 }
"""


def call_with_jax(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Call the command line with Keras on JAX."""
    command = [sys.executable, "-m", "training", *map(str, words)]
    environment = os.environ | {"KERAS_BACKEND": "jax"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.timeout(300)
@pytest.mark.skipif(find_spec("jax") is None, reason="JAX is not installed")
def test_jax_trains_and_tensorflow_exports(data_dir: Path, tmp_path: Path) -> None:
    """With KERAS_BACKEND=jax a run is trained, evaluated, resumed; only TensorFlow makes a version of it."""
    recipe, runs = tmp_path / "elsewhere.toml", tmp_path / "runs"
    recipe.write_text(RECIPE)
    for words in (("--epochs", "1"), ("--resume", "--epochs", "2")):
        result = call_with_jax("train", recipe, "--data-dir", data_dir, "--runs-dir", runs, *words)
        assert result.returncode == 0, result.stderr
        assert "test, 10 images: accuracy" in result.stdout
        assert (runs / "elsewhere" / "report.html").is_file()
    refused = call_with_jax("export", runs / "elsewhere", "--models-dir", tmp_path / "models")
    assert refused.returncode == 1
    assert refused.stderr.endswith("error: Export needs TensorFlow: run it without KERAS_BACKEND=jax.\n")
    run = open_run(runs / "elsewhere")
    assert [row["epoch"] for row in read_history(run.folder / "history.csv")] == [0, 1]
    assert (export(run, tmp_path / "models") / "saved_model.pb").is_file()
