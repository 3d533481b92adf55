"""Small folders as the well-known sets and tools lay them out, of pictures that are drawn here."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

VOC = """<annotation><folder>VOC</folder><filename>{name}.jpg</filename>
<size><width>40</width><height>30</height><depth>3</depth></size>{objects}</annotation>"""
OBJECT = """<object><name>{label}</name><bndbox>
<xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"""


def photo(path: Path, seed: int = 0, size: tuple[int, int] = (40, 30)) -> Path:
    """Save a picture full of detail, as a photo is; `size` is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def blob(value: int = 1, side: int = 10) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return a mask uint8 `[30, 40]`: a square of a value on 0."""
    values = np.zeros((30, 40), np.uint8)
    values[5 : 5 + side, 8 : 8 + side] = value
    return values


def save(
    path: Path, values: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], *, palette: bool = False
) -> Path:
    """Save values as a mask, with a palette if so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values)
    if palette:
        image = image.convert("P") if image.mode != "P" else image
        image.putpalette(
            [channel for value in range(256) for channel in (value * 37 % 256, value, 255 - value)]
        )
    image.save(path)
    return path


def write(path: Path, text: object) -> Path:
    """Write text, or anything else as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


def voc(folder: Path, name: str, objects: Sequence[tuple[str, tuple[float, ...]]], seed: int = 0) -> None:
    """Add an image with its boxes as Pascal VOC does."""
    photo(folder / "JPEGImages" / f"{name}.jpg", seed)
    inner = "".join(OBJECT.format(label=label, box=box) for label, box in objects)
    write(folder / "Annotations" / f"{name}.xml", VOC.format(name=name, objects=inner))


def draw_nuclei(folder: Path, count: int = 24) -> Path:
    """Draw pictures of several sizes with numbered discs, in the layout of the nuclei."""
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    chance = np.random.default_rng(0)
    for number in range(count):
        width, height = ((70, 50), (40, 32), (90, 90), (24, 100))[number % 4]
        ids = np.zeros((height, width), np.uint8)
        ys, xs = np.mgrid[:height, :width]
        for one in range(1, 9):
            x, y = chance.uniform(0, width), chance.uniform(0, height)
            ids[((xs - x) ** 2 + (ys - y) ** 2 < 30) & (ids == 0)] = one
        pixels = chance.integers(0, 60, (height, width, 3)) + 150 * (ids > 0)[..., None] + number
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / f"{number}.png")
        Image.fromarray(ids).save(folder / "masks" / f"{number}.png")
    return folder
