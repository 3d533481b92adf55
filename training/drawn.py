"""A small folder of drawn pictures with labels, to try one's own data with before having some."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from training.datasets import DatasetError
from training.golden import draw_clothes, draw_nuclei, draw_pet, draw_shapes, draw_sign
from training.learnable import LEARNABLE, Task, Truth

CLASSES = {"animal": draw_pet, "clothes": draw_clothes, "nuclei": draw_nuclei, "sign": draw_sign}
COLOURS = {"disc": (235, 70, 60), "square": (70, 220, 90), "triangle": (80, 110, 245)}
"""Of what a picture may show several of."""


def draw_folder(folder: Path, task: Task, count: int, seed: int = 0) -> Path:
    """Draw `count` labelled pictures into a new folder: class folders, a CSV with a column per label, boxes
    (a CSV, or COCO's JSON where a picture has several), or masks.

    The same arguments draw the same pictures. DatasetError where the folder is there already, or cannot be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise DatasetError(f"{folder} is not empty: give the name of a new folder.")
        _DRAWERS[LEARNABLE[task].truth](folder, count, np.random.default_rng(seed))
    except OSError as error:
        reason = "it is a file" if folder.is_file() else error.strerror or error
        raise DatasetError(f"{folder} cannot be a new folder: {reason}. Give another name.") from error
    return folder


def _size(chance: np.random.Generator) -> tuple[int, int]:
    width, height = chance.integers(72, 121, 2)
    return int(width), int(height)


def _draw_classes(folder: Path, count: int, chance: np.random.Generator) -> None:
    for number in range(count):
        label = sorted(CLASSES)[number % len(CLASSES)]
        (folder / label).mkdir(exist_ok=True)
        picture = CLASSES[label](chance, *_size(chance))
        Image.fromarray(picture).save(folder / label / f"{number:04d}.jpg", quality=90)


def _draw_object(chance: np.random.Generator, label: str) -> tuple[Image.Image, Image.Image]:
    """Draw one bright disc or square on a busy ground; return picture and mask (0 and 255)."""
    width, height = _size(chance)
    ground = Image.fromarray(draw_shapes(chance, width, height) // 3)
    side = min(width, height) * chance.uniform(0.25, 0.5)
    x, y = chance.uniform(0, width - side), chance.uniform(0, height - side)
    box = (x, y, x + side, y + side)
    mask = Image.new("L", (width, height))
    for image, fill in ((ground, tuple(int(v) for v in chance.integers(170, 255, 3))), (mask, 255)):
        pen = ImageDraw.Draw(image)
        (pen.ellipse if label == "disc" else pen.rectangle)(box, fill=fill)
    return ground, mask


def _draw_boxes(folder: Path, count: int, chance: np.random.Generator) -> None:
    (folder / "images").mkdir()
    lines = ["file,x_min,y_min,x_max,y_max,label"]
    for number in range(count):
        label = ("disc", "square")[number % 2]
        picture, mask = _draw_object(chance, label)
        name = f"images/{number:04d}.png"
        picture.save(folder / name)
        corners = ",".join(str(value) for value in mask.getbbox() or ())
        lines.append(f"{name},{corners},{label}")
    (folder / "boxes.csv").write_text("\n".join(lines) + "\n")


def _draw_objects(folder: Path, count: int, chance: np.random.Generator) -> None:
    """Draw none to six objects a picture, apart from each other by half, on a busy ground."""
    (folder / "images").mkdir()
    pictures: list[dict[str, object]] = []
    boxes: list[dict[str, object]] = []
    for number in range(count):
        width, height = _size(chance)
        ground = Image.fromarray(draw_shapes(chance, width, height) // 3)
        name = f"{number:04d}.png"
        pictures.append({"id": number, "file_name": name, "width": width, "height": height})
        # Every eighth shows nothing, as photos do.
        for box in _places(chance, (width, height), int(number % 8 and chance.integers(1, 7))):
            kind = int(chance.integers(2))
            pen = ImageDraw.Draw(ground)
            (pen.ellipse if kind == 0 else pen.rectangle)(box, tuple(chance.integers(170, 255, 3).tolist()))
            x_min, y_min, x_max, y_max = box
            sides = [x_min, y_min, x_max + 1 - x_min, y_max + 1 - y_min]
            boxes.append({"id": len(boxes), "image_id": number, "category_id": kind, "bbox": sides})
        ground.save(folder / "images" / name)
    kinds = [{"id": number, "name": name} for number, name in enumerate(("disc", "square"))]
    document = {"images": pictures, "annotations": boxes, "categories": kinds}
    (folder / "annotations.json").write_text(json.dumps(document) + "\n", "utf-8")


def _places(chance: np.random.Generator, size: tuple[int, int], count: int) -> list[list[int]]:
    """Return up to so many boxes in whole pixels, the last ones within, of which no two share much."""
    found: list[list[int]] = []
    for _ in range(4 * count):
        side = int(min(size) * chance.uniform(0.14, 0.34))
        x, y = (int(chance.integers(0, whole - side)) for whole in size)
        free = all(abs(x - a) + abs(y - b) > (side + c - a) / 2 for a, b, c, _ in found)
        if free and len(found) < count:
            found.append([x, y, x + side - 1, y + side - 1])
    return found


def _draw_masks(folder: Path, count: int, chance: np.random.Generator) -> None:
    for part in ("images", "masks"):
        (folder / part).mkdir()
    for number in range(count):
        picture, mask = _draw_object(chance, ("disc", "square")[number % 2])
        picture.save(folder / "images" / f"{number:04d}.png")
        mask.save(folder / "masks" / f"{number:04d}.png")


def _draw_sets(folder: Path, count: int, chance: np.random.Generator) -> None:
    """Draw none, one or several of three kinds a picture, each of its own colour, on a busy ground."""
    (folder / "images").mkdir()
    lines = [",".join(("file", *COLOURS))]
    for number in range(count):
        size = _size(chance)
        ground = Image.fromarray(draw_shapes(chance, *size) // 3)
        # Each of the eight sets as often as the others.
        shown = [number >> place & 1 for place in range(len(COLOURS))]
        places = iter(_places(chance, size, 8))
        for is_there, (kind, colour) in zip(shown, COLOURS.items(), strict=True):
            x_min, y_min, x_max, y_max = next(places)
            pen = ImageDraw.Draw(ground)
            if kind == "triangle" and is_there:
                pen.polygon([(x_min, y_max), (x_max, y_max), ((x_min + x_max) / 2, y_min)], colour)
            elif is_there:
                (pen.ellipse if kind == "disc" else pen.rectangle)((x_min, y_min, x_max, y_max), colour)
        name = f"images/{number:04d}.png"
        ground.save(folder / name)
        lines.append(",".join((name, *map(str, shown))))
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


_DRAWERS: dict[Truth, Callable[[Path, int, np.random.Generator], None]] = {
    "label": _draw_classes,
    "labels": _draw_sets,
    "box": _draw_boxes,
    "objects": _draw_objects,
    "mask": _draw_masks,
}
