"""Golden samples: pictures drawn here, in every encoding that matters, with the pixels they must decode to.

The service must give the same answers for the encoded bytes as the network gives for what training reads from
them. Nothing here comes from a data set or a camera.
"""

import io
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from training.datasets.framing import Frame
from training.datasets.reading import read_image

Picture = NDArray[np.uint8]
"""RGB, `[H, W, 3]`."""


@dataclass(frozen=True)
class Golden:
    """One encoded sample and its upright RGB pixels `[H, W, 3]`."""

    name: str
    data: bytes
    pixels: Picture


def samples(kind: str, seed: int = 0) -> list[Golden]:
    """Draw one picture of `kind` per encoding, each another one."""
    chance = np.random.default_rng(seed)
    goldens = []
    for number, (name, encode) in enumerate(ENCODINGS.items()):
        width, height = _SIZES[number % len(_SIZES)]
        data, pixels = encode(DRAWINGS[kind](chance, width, height))
        goldens.append(Golden(f"{kind}-{name}", data, pixels))
    return goldens


_SIZES = ((96, 96), (200, 150), (160, 240), (64, 64), (333, 250))


def tensors(goldens: Sequence[Golden], frame: Frame, channels: int) -> NDArray[np.uint8]:
    """Return what training makes of the encoded samples: uint8 `[N, height, width, channels]`.

    Not of their pixels: a large JPEG is decoded at a fraction of its size, there and in the service.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "golden"
        rows = []
        for sample in goldens:
            file.write_bytes(sample.data)
            rows.append(read_image(file, frame, channels))
    return np.stack(rows)


# ---- drawings


def draw_digit(chance: np.random.Generator, width: int, height: int) -> Picture:
    """Draw a digit, light on dark or dark on light, as one would write it: centred, most of the height."""
    image = Image.new("L", (width, height), 0)
    side = min(width, height)
    font = ImageFont.load_default(side * 0.8)
    centre = (width / 2 + chance.uniform(-0.03, 0.03) * side, height / 2)
    text = str(chance.integers(10))
    ImageDraw.Draw(image).text(centre, text, fill=255, font=font, anchor="mm", stroke_width=side // 40)
    image = image.filter(ImageFilter.GaussianBlur(side / 80))
    grey = np.asarray(image)
    return np.repeat((255 - grey if chance.random() < 0.5 else grey)[..., None], 3, axis=2)


def draw_clothes(chance: np.random.Generator, width: int, height: int) -> Picture:
    """Draw a shirt or a pair of trousers from polygons, light on dark."""
    image = Image.new("RGB", (width, height), "black")
    draw = ImageDraw.Draw(image)
    shade = tuple(int(v) for v in chance.integers(120, 255, 3))
    shirt = [(0.2, 0.12), (0.4, 0.08), (0.6, 0.08), (0.8, 0.12), (0.98, 0.5), (0.84, 0.56), (0.74, 0.36)]
    shirt += [(0.74, 0.94), (0.26, 0.94), (0.26, 0.36), (0.16, 0.56), (0.02, 0.5)]
    trousers = [(0.3, 0.04), (0.7, 0.04), (0.74, 0.96), (0.56, 0.96), (0.5, 0.3), (0.44, 0.96), (0.26, 0.96)]
    outline = shirt if chance.random() < 0.5 else trousers
    draw.polygon([(x * width, y * height) for x, y in outline], fill=shade)
    return np.asarray(image)


def draw_sign(chance: np.random.Generator, width: int, height: int) -> Picture:
    """Draw a round or triangular traffic sign on a sky or wood background."""
    backdrop = [(96, 140, 190), (70, 90, 60), (128, 124, 118)][chance.integers(3)]
    image = Image.new("RGB", (width, height), backdrop)
    draw = ImageDraw.Draw(image)
    side = 0.8 * min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    kind = chance.integers(3)
    if kind == 0:
        draw.ellipse((left, top, left + side, top + side), fill=(200, 20, 30))
        rim = 0.12 * side
        draw.ellipse((left + rim, top + rim, left + side - rim, top + side - rim), fill="white")
        font = ImageFont.load_default(side * 0.42)
        number = str(chance.choice([30, 50, 60, 70, 80]))
        draw.text((width / 2, height / 2), number, fill="black", font=font, anchor="mm", stroke_width=1)
    elif kind == 1:
        corners = [(left, top), (left + side, top), (width / 2, top + side * 0.87)]
        draw.polygon(corners, fill="white", outline=(200, 20, 30), width=max(2, int(side / 9)))
    else:
        draw.ellipse((left, top, left + side, top + side), fill=(20, 70, 170))
        bar = side / 10
        draw.rectangle((width / 2 - bar, top + 0.2 * side, width / 2 + bar, top + 0.8 * side), fill="white")
    return np.asarray(image)


def draw_pet(chance: np.random.Generator, width: int, height: int) -> Picture:
    """Draw an animal from ellipses and triangles, on grass and sky."""
    image = Image.new("RGB", (width, height), (170, 200, 225))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, height * 0.6, width, height), fill=(96, 140, 70))
    fur = [(150, 105, 60), (90, 90, 95), (225, 200, 160), (60, 45, 40)][chance.integers(4)]
    dark = (fur[0] // 2, fur[1] // 2, fur[2] // 2)
    side = min(width, height)
    x, y = width * chance.uniform(0.4, 0.6), height * chance.uniform(0.35, 0.45)
    head = side * chance.uniform(0.18, 0.26)

    def blob(cx: float, cy: float, rx: float, ry: float, fill: tuple[int, int, int]) -> None:
        draw.ellipse((cx - rx, cy - ry, cx + rx, cy + ry), fill=fill)

    blob(x + head * 0.7, y + head * 1.6, head * 1.7, head * 1.1, fur)
    for sign in (-1, 1):
        tip = (x + sign * head * 0.9, y - head * 1.35)
        draw.polygon(
            [(x + sign * head * 0.2, y - head * 0.7), tip, (x + sign * head, y - head * 0.2)], fill=dark
        )
    blob(x, y, head, head * 0.92, fur)
    for sign in (-1, 1):
        blob(x + sign * head * 0.4, y - head * 0.15, head * 0.16, head * 0.16, (240, 235, 200))
        blob(x + sign * head * 0.4, y - head * 0.15, head * 0.07, head * 0.1, (10, 10, 10))
    blob(x, y + head * 0.3, head * 0.14, head * 0.1, (40, 25, 25))
    # Patches of light and shade rather than noise per pixel, which no lossless format makes small.
    patches = Image.fromarray(chance.integers(104, 152, (height // 8, width // 8), np.uint8))
    shade = np.asarray(patches.resize((width, height), Image.Resampling.BILINEAR), np.int16)[..., None]
    return np.asarray(np.clip(np.asarray(image, np.int16) + (shade - 128) // 2, 0, 255), np.uint8)


def draw_nuclei(chance: np.random.Generator, width: int, height: int) -> Picture:
    """Draw bright blobs on a dark field, as nuclei look under a fluorescence microscope."""
    rows, columns = np.mgrid[0:height, 0:width]
    field = np.full((height, width), 12.0)
    side = min(width, height)
    for _ in range(chance.integers(6, 14)):
        cx, cy = chance.uniform(0, width), chance.uniform(0, height)
        rx, ry = side * chance.uniform(0.04, 0.1, 2)
        angle = chance.uniform(0, math.pi)
        dx, dy = columns - cx, rows - cy
        u = (dx * math.cos(angle) + dy * math.sin(angle)) / rx
        v = (dy * math.cos(angle) - dx * math.sin(angle)) / ry
        field = np.maximum(field, chance.uniform(90, 200) / (1 + np.exp(12 * (np.hypot(u, v) - 1))))
    grey = np.clip(field + chance.normal(0, 2, field.shape), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def draw_cells(chance: np.random.Generator, width: int, height: int) -> Picture:
    """Draw blood under the microscope: pale red discs, one large violet cell, and small violet platelets."""
    image = Image.new("RGB", (width, height), (232, 226, 222))
    draw = ImageDraw.Draw(image)
    side = min(width, height)

    def disc(radius: float, fill: tuple[int, int, int], rim: tuple[int, int, int]) -> tuple[float, float]:
        x, y = chance.uniform(0, 1, 2) * (width, height)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill, rim, max(1, int(radius / 8)))
        return x, y

    for _ in range(chance.integers(6, 13)):
        disc(side * chance.uniform(0.09, 0.12), (200, 165, 170), (180, 125, 140))
    x, y = disc(side * chance.uniform(0.18, 0.24), (170, 140, 195), (140, 110, 170))
    draw.circle((x, y), side * 0.12, fill=(95, 60, 140))
    for _ in range(chance.integers(1, 4)):
        disc(side * chance.uniform(0.03, 0.045), (130, 95, 165), (110, 80, 150))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(side / 150)))


def draw_shapes(chance: np.random.Generator, width: int, height: int) -> Picture:
    """Draw discs and boxes of random colours on a smooth gradient."""
    ramp = np.linspace(40, 200, width)[None, :, None] * np.ones((height, 1, 3))
    image = Image.fromarray(ramp.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(5):
        x, y = chance.uniform(0, 0.8, 2) * (width, height)
        w, h = chance.uniform(0.1, 0.4, 2) * (width, height)
        fill = tuple(int(v) for v in chance.integers(0, 255, 3))
        (draw.ellipse if chance.random() < 0.5 else draw.rectangle)((x, y, x + w, y + h), fill=fill)
    return np.asarray(image)


DRAWINGS: dict[str, Callable[[np.random.Generator, int, int], Picture]] = {
    "digits": draw_digit,
    "clothes": draw_clothes,
    "signs": draw_sign,
    "pets": draw_pet,
    "nuclei": draw_nuclei,
    "cells": draw_cells,
    "shapes": draw_shapes,
}


# ---- encodings: a picture -> its bytes, and the pixels that a right decoder gets from them


def _save(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _decoded(data: bytes) -> Picture:
    """Decode what is lossy in full, upright storage order, as RGB."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def _grey(picture: Picture) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(picture).convert("L"))


def _png(picture: Picture) -> tuple[bytes, Picture]:
    return _save(Image.fromarray(picture), "PNG"), picture


def _webp(picture: Picture) -> tuple[bytes, Picture]:
    return _save(Image.fromarray(picture), "WEBP", lossless=True), picture


def _jpeg(picture: Picture) -> tuple[bytes, Picture]:
    data = _save(Image.fromarray(picture), "JPEG", quality=92, subsampling=0)
    return data, _decoded(data)


def _large_jpeg(picture: Picture) -> tuple[bytes, Picture]:
    large = Image.fromarray(picture).resize((1280, 960), Image.Resampling.BICUBIC)
    data = _save(large, "JPEG", quality=90, progressive=True)
    return data, _decoded(data)


def _turned_jpeg(picture: Picture) -> tuple[bytes, Picture]:
    """Store the picture lying on its side, with the EXIF orientation that turns it back."""
    exif = Image.Exif()
    exif[0x0112] = 6  # the stored picture must be turned 90 degrees clockwise to be upright
    stored = Image.fromarray(np.ascontiguousarray(np.rot90(picture)))
    data = _save(stored, "JPEG", quality=92, subsampling=0, exif=exif)
    return data, np.ascontiguousarray(np.rot90(_decoded(data), -1))


def _grey_png(picture: Picture) -> tuple[bytes, Picture]:
    grey = _grey(picture)
    return _save(Image.fromarray(grey), "PNG"), np.repeat(grey[..., None], 3, axis=2)


def _deep_png(picture: Picture) -> tuple[bytes, Picture]:
    """Store 16 bits of grey: 257 times the 8-bit value is the same brightness."""
    grey = _grey(picture)
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    return _save(deep, "PNG"), np.repeat(grey[..., None], 3, axis=2)


def _palette_png(picture: Picture) -> tuple[bytes, Picture]:
    image = Image.fromarray(picture).quantize(64)
    return _save(image, "PNG"), np.asarray(image.convert("RGB"))


def _alpha_png(picture: Picture) -> tuple[bytes, Picture]:
    """Make the right half fade out; beneath it hide a colour that must not show."""
    height, width, _ = picture.shape
    alpha = np.clip(2 * 255 * (1 - np.linspace(0, 1, width)), 0, 255).round().astype(np.uint8)
    rgba = np.dstack([picture, np.tile(alpha, (height, 1))])
    rgba[rgba[..., 3] == 0] = (255, 0, 255, 0)
    share = rgba[..., 3:] / 255
    over_white = (rgba[..., :3] * share + 255 * (1 - share)).round().astype(np.uint8)
    return _save(Image.fromarray(rgba), "PNG"), over_white


def _cmyk_jpeg(picture: Picture) -> tuple[bytes, Picture]:
    data = _save(Image.fromarray(picture).convert("CMYK"), "JPEG", quality=95, subsampling=0)
    ink = np.asarray(Image.open(io.BytesIO(data)), np.float64)
    rgb = (255 - ink[..., :3]) * (255 - ink[..., 3:]) / 255
    return data, rgb.round().astype(np.uint8)


ENCODINGS: dict[str, Callable[[Picture], tuple[bytes, Picture]]] = {
    "png": _png,
    "jpeg": _jpeg,
    "large-jpeg": _large_jpeg,
    "turned-jpeg": _turned_jpeg,
    "cmyk-jpeg": _cmyk_jpeg,
    "webp": _webp,
    "grey-png": _grey_png,
    "16-bit-png": _deep_png,
    "palette-png": _palette_png,
    "alpha-png": _alpha_png,
}
