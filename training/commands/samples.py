"""The picture that `inspect` draws: a sample of a folder's images with their labels, boxes and masks."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import chain, zip_longest
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training.datasets import DatasetError
from training.datasets.framing import fit_mask
from training.datasets.own.listing import PARTS
from training.datasets.own.meaning import Meaning
from training.datasets.own.survey import Seen, Survey
from training.datasets.reading import read_photo

_TILE, _CAPTION, _COLUMNS, _ROWS = 160, 18, 6, 4
_COLOURS = np.asarray(
    [(255, 176, 0), (0, 158, 115), (86, 180, 233), (204, 121, 167), (213, 94, 0), (240, 228, 66)], np.uint16
)


def check_place(picture: Path, folder: Path) -> None:
    """Raise DatasetError where the picture would replace, or become, one of the images that are inspected."""
    if picture.suffix.lower() != ".png":
        raise DatasetError(
            f"The picture cannot be {picture}, for it is a PNG: give a file's name like seen.png."
        )
    if picture.resolve().is_relative_to(folder.resolve()):
        raise DatasetError(
            f"The picture cannot be {picture}, within {folder}, where it would be taken for one of the "
            f"images: give a place elsewhere."
        )


def sample(seen: Sequence[Seen], parts: Sequence[str], count: int) -> list[Seen]:
    """Draw up to `count` images by chance, but the same ones each time: each class in its turn, and of a
    class each part in its turn. Those of more classes than `count` are of classes drawn by chance.
    """
    chance = np.random.default_rng(0)
    groups: dict[str, dict[str, list[Seen]]] = defaultdict(lambda: defaultdict(list))
    for row in chance.permutation(len(seen)):
        groups[seen[row].item.label][parts[row]].append(seen[row])
    of_class = [_in_turn([group[part] for part in PARTS]) for _, group in sorted(groups.items())]
    order = range(len(of_class)) if len(of_class) <= count else chance.permutation(len(of_class))
    return _in_turn([of_class[number] for number in order])[:count]


def _in_turn(groups: Sequence[Sequence[Seen]]) -> list[Seen]:
    return [one for one in chain.from_iterable(zip_longest(*groups)) if one is not None]


def draw(found: Survey, parts: Sequence[str], meaning: Meaning | None, picture: Path) -> None:
    """Draw a sample of up to 24 images, with boxes and masks laid over them."""
    chosen = sample(found.sound(), parts, _COLUMNS * _ROWS)
    rows = max(1, -(-len(chosen) // _COLUMNS))
    sheet = Image.new("RGB", (_COLUMNS * _TILE, rows * (_TILE + _CAPTION)), "white")
    for number, one in enumerate(chosen):
        row, column = divmod(number, _COLUMNS)
        sheet.paste(_tile(found, one, meaning), (column * _TILE, row * (_TILE + _CAPTION)))
    try:
        picture.parent.mkdir(parents=True, exist_ok=True)
        sheet.save(picture, "PNG")
    except OSError as error:
        reason = "it is a folder" if picture.is_dir() else error.strerror or error
        raise DatasetError(
            f"{picture} cannot be written: {reason}. Give a file's name, like seen.png."
        ) from error


def _tile(found: Survey, one: Seen, meaning: Meaning | None) -> Image.Image:
    photo = read_photo(one.item.path, 3, _TILE)
    scale = (_TILE - 4) / max(photo.width, photo.height)
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    image = photo.image.resize(size, Image.Resampling.BILINEAR)
    if one.item.mask and one.values and meaning:
        mask = meaning.index(fit_mask(found.mask_values(one), size), one.values)
        pixels = np.array(image)
        paint = _COLOURS[(mask - 1) % len(_COLOURS)]
        image = Image.fromarray(np.where(mask[..., None] > 0, (pixels + paint) // 2, pixels).astype(np.uint8))
    # All boxes, and last, broader, the one that is learnt.
    boxes = [(stated.box, 1) for stated in one.item.stated] + [(one.item.box, 2)] * bool(one.item.box)
    for box, width in boxes:
        if box:
            corners = [value * scale for value in box]
            ImageDraw.Draw(image).rectangle(corners, outline=(255, 176, 0), width=width)
    tile = Image.new("RGB", (_TILE, _TILE + _CAPTION), "white")
    tile.paste(image, (2, 2))
    caption = ", ".join(one.item.names) or one.item.path.name
    # Right below the photo: with room between, it would be read as that of the photo in the next row.
    place = (3, 4 + size[1])
    ImageDraw.Draw(tile).text(place, caption[:26], fill="black", font=ImageFont.load_default(12))
    return tile
