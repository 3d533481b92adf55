"""A small folder of drawn pictures with labels, to try one's own data with before having some."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from training.datasets import DatasetError, Task
from training.golden import draw_clothes, draw_nuclei, draw_pet, draw_shapes, draw_sign

CLASSES = {"animal": draw_pet, "clothes": draw_clothes, "nuclei": draw_nuclei, "sign": draw_sign}


def draw_folder(folder: Path, task: Task, count: int, seed: int = 0) -> Path:
    """Draw `count` labelled pictures into a new folder: class folders, a CSV with boxes, or masks.

    The same arguments draw the same pictures. DatasetError where the folder is there already, or cannot be.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise DatasetError(f"{folder} is not empty: give the name of a new folder.")
        _DRAWERS[task](folder, count, np.random.default_rng(seed))
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


def _draw_masks(folder: Path, count: int, chance: np.random.Generator) -> None:
    for part in ("images", "masks"):
        (folder / part).mkdir()
    for number in range(count):
        picture, mask = _draw_object(chance, ("disc", "square")[number % 2])
        picture.save(folder / "images" / f"{number:04d}.png")
        mask.save(folder / "masks" / f"{number:04d}.png")


_DRAWERS: dict[Task, Callable[[Path, int, np.random.Generator], None]] = {
    "classification": _draw_classes,
    "localization": _draw_boxes,
    "segmentation": _draw_masks,
}
