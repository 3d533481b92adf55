"""Small worlds that tests are made of: a drawn data set in an official layout, tiny recipes, a server."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from training.golden import draw_pet
from training.schema import Recipe

BREEDS = (("Abyssinian", 1), ("beagle", 2))


def logged(caplog: pytest.LogCaptureFixture, logger: str) -> list[str]:
    """What one logger said: TensorFlow too warns when it likes, after what other tests of a process did."""
    return [record.getMessage() for record in caplog.records if record.name == logger]


def fit(pixels: NDArray[np.uint8], height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """Stretch whole RGB pixels to `[height, width, channels]`: what any way of reading must come near to."""
    image = Image.fromarray(pixels).convert("L" if channels == 1 else "RGB")
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, np.uint8).reshape(height, width, channels)


def photo(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Draw an animal before a ground of its own, with as much detail as a photo has."""
    chance = np.random.default_rng(seed)
    pixels = draw_pet(chance, *size)
    coarse = Image.fromarray(chance.integers(0, 256, (9, 12, 3), np.uint8))
    return Image.blend(Image.fromarray(pixels), coarse.resize(size, Image.Resampling.BICUBIC), 0.4)


def different_photos(home: Path, per_class: int = 12, labels: tuple[str, ...] = ("cat", "dog")) -> Path:
    """Make class folders of different photos."""
    for place, label in enumerate(labels):
        (home / label).mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            photo(100 * place + number).save(home / label / f"{number:02d}.png")
    return home


def draw_pet_dataset(root: Path, per_breed: int = 10) -> Path:
    """Draw a data set of animals in the layout of Oxford-IIIT Pet below `root / 'oxford-iiit-pet'`."""
    folder = root / "oxford-iiit-pet"
    for part in ("images", "annotations/xmls", "annotations/trimaps"):
        (folder / part).mkdir(parents=True)
    chance = np.random.default_rng(0)
    lines = []
    for number, (breed, species) in enumerate(BREEDS, start=1):
        for index in range(per_breed):
            name = f"{breed}_{index + 1}"
            Image.fromarray(draw_pet(chance, 60, 48)).save(folder / "images" / f"{name}.jpg")
            _annotate(folder / "annotations", name)
            lines.append(f"{name} {number} {species} 1")
    (folder / "annotations" / "trainval.txt").write_text("\n".join(lines[::2]) + "\n")
    (folder / "annotations" / "test.txt").write_text("\n".join(lines[1::2]) + "\n")
    return folder


def _annotate(annotations: Path, name: str) -> None:
    corners = "".join(f"<{key}>{value}</{key}>" for key, value in zip(_CORNERS, (13, 7, 36, 24), strict=True))
    size = "<size><width>60</width><height>48</height><depth>3</depth></size>"
    document = f"<annotation>{size}<object><bndbox>{corners}</bndbox></object></annotation>"
    (annotations / "xmls" / f"{name}.xml").write_text(document)
    trimap = Image.new("L", (60, 48), 2)
    ImageDraw.Draw(trimap).ellipse((12, 6, 40, 40), fill=1, outline=3, width=2)
    trimap.save(annotations / "trimaps" / f"{name}.png")


_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def tiny_recipe(task: str, **changes: Any) -> Recipe:
    """Return a recipe that trains one epoch on the drawn data set in seconds."""
    architecture = "unet" if task == "segmentation" else "lecture-cnn-a"
    fields: dict[str, Any] = {
        "name": f"tiny-{task}",
        "description": "A network for tests.",
        "task": task,
        "dataset": "oxford-iiit-pet",
        "architecture": architecture,
        "golden": "pets",
        "input": {"height": 32, "width": 32, "channels": 3},
        "augmentation": {"flip": True, "rotation_degrees": 10, "zoom": 0.1},
        "training": {"epochs": 1, "batch_size": 4, "learning_rate": 0.001},
    }
    return Recipe.model_validate(fields | changes)


class Server:
    """A running `python -m service`: its address and what it has logged so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.url = ""
        self.log: list[str] = []

    def read_until(self, pattern: str) -> str:
        """Read the log until a line matches; an AssertionError with the log where the process ends first."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line)
            if re.search(pattern, line):
                return line
        raise AssertionError("The server ended before it said so:\n" + "".join(self.log))


@contextmanager
def serving(models: Path, *, under: Sequence[str] = (), **settings: str) -> Iterator[Server]:
    """Start the service as a user would, on a free port, and wait until all its workers say what they have
    loaded. `under` is a command that takes the service's command behind its own.
    """
    environment = _clean_environment() | {
        "STRIATE_MODELS_DIR": str(models),
        "STRIATE_PORT": "0",
        **{f"STRIATE_{name.upper()}": value for name, value in settings.items()},
    }
    process = subprocess.Popen(
        [*under, sys.executable, "-m", "service"], env=environment, stderr=subprocess.PIPE, text=True
    )
    server = Server(process)
    try:
        line = server.read_until(r"running on https?:")
        found = re.search(r"https?://[\d.]+:\d+", line)
        assert found
        server.url = found.group()
        for _ in range(int(settings.get("workers", "1"))):
            server.read_until(r"service: (ready|not ready)")
        yield server
    finally:
        process.terminate()
        try:
            _, rest = process.communicate(timeout=30)
            server.log.append(rest)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise


def _clean_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("STRIATE_")}
