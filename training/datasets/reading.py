"""Files on disk to arrays: images and masks at the asked size, and downloads with a checksum."""

import hashlib
import io
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from service.formats import chunks, colours, names, reading, sizes, upright
from service.formats.names import Unreadable
from service.images import fitting
from training.datasets import framing
from training.datasets.cache import Fill, cached
from training.datasets.dataset import DatasetError, Request
from training.datasets.framing import Frame

MAX_PIXELS = 2**28
"""Of an image or a mask; a file that announces more is not decoded."""
# Pillow warns above this number, and refuses twice as much before it makes room for the pixels.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def read_images(paths: Sequence[Path], request: Request) -> NDArray[np.uint8]:
    """Read image files upright, fitted to `[N, height, width, channels]` uint8 (1 grey, 3 RGB).

    Through the cache, so that each file is decoded only once: see `cache.py`.
    """
    shape = (request.height, request.width, request.channels)
    kind = "grey" if request.channels == 1 else "rgb"

    def decode(path: Path) -> NDArray[np.uint8]:
        return read_image(path, request, request.channels)

    return cached(kind + framing.rule_of(request), paths, shape, np.uint8, _each(paths, decode))


def read_image(path: Path, frame: Frame, channels: int) -> NDArray[np.uint8]:
    """Read one image file to uint8 `[height, width, channels]`."""
    return fit(read_photo(path, channels, least_side(frame), frame), frame)


@dataclass(frozen=True)
class Photo:
    """An image file, decoded as the service decodes what is posted.

    `image` is upright, of mode L or RGB, and may be a smaller copy, or where it is `fitted` only what the
    model sees of it; `width` and `height` are the upright original's. `mode` and `format` are Pillow's names
    for what lies in the file; `turned` says that an EXIF orientation had to be applied.
    """

    image: Image.Image
    width: int
    height: int
    mode: str
    format: str
    turned: bool
    fitted: bool = False


def least_side(frame: Frame) -> int:
    """Return the pixels that a JPEG's sides are decoded to at least, as the service decodes it."""
    return fitting.least_side(frame)


def read_photo(path: Path, channels: int, least: int | None = None, frame: Frame | None = None) -> Photo:
    """Decode a file: upright, alpha over white, in sRGB, 16 bits scaled to 8. Raises DatasetError.

    A JPEG is decoded at a fraction of its size, with no side below `least` pixels, where `least` is given.
    What is in other colours than sRGB is fitted to `frame`, where that is given, before they are converted:
    as the service does.
    """
    mode = "L" if channels == 1 else "RGB"
    try:
        # Not by the name: Pillow then maps plain TIFFs into memory, those on their side by the wrong width.
        with path.open("rb") as file, _opened(file) as opened:
            own, kind, stored = opened.mode, str(opened.format), opened.size
            data = reading.bytes_of(opened)
            orientation = upright.orientation_of(opened)
            change = colours.transform_of(opened)
            loaded = reading.load(opened, data, None if change else mode, least)
            whole = opened.size == stored
            # Pillow sets a TIFF upright itself.
            photo = upright.set_upright(loaded, upright.orientation_of(loaded))
            # Of a TIFF, Pillow's header has the upright size already; what was decoded whole needs no header.
            width, height = photo.size if whole else stored[::-1] if orientation in range(5, 9) else stored
            image = _flatten(photo, change.input_mode if change else mode)
            fitted = change is not None and frame is not None
            if change and frame:
                image = fitting.resized(image, (width, height), frame)
            if change:
                image = change.apply(image).convert(mode)
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing.") from None
    except Exception as error:  # whatever a parser makes of the bytes, it is the file that is wrong
        raise DatasetError(f"{path} cannot be read as an image: {_reason(path, error)}.") from error
    return Photo(image, width, height, own, kind, turned=orientation in range(2, 9), fitted=fitted)


def _opened(file: BinaryIO) -> Image.Image:
    """Open an image of one of the formats that the service reads, by its first bytes."""
    start = file.read(_START)
    file.seek(0)
    kind = names.kind_of(start)
    if kind is None:
        raise names.refusal(start, frozenset(names.KINDS)) if start else Unreadable("the file is empty")
    if kind not in names.PLAIN:
        data = file.read()
        width, height, _ = sizes.size_of(data, kind)
        if width * height > MAX_PIXELS:
            raise Image.DecompressionBombError
        return reading.open_image(data, kind)
    if kind == "PNG":
        data = chunks.mended(file.read())
        opened = Image.open(io.BytesIO(data), formats=(kind,))
        colours.state_png(opened, data)
        return opened
    return Image.open(file, formats=(kind,))


_START = 65_536
"""Bytes that tell the format, and a PNG's colours."""


def _reason(path: Path, error: Exception) -> str:
    """Say why a file cannot be read, and what would be right where that is known."""
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {MAX_PIXELS // 10**6} million pixels; make it smaller"
    if isinstance(error, Unreadable):
        return str(error).removesuffix(".")
    if not isinstance(error, UnidentifiedImageError):
        return getattr(error, "strerror", None) or str(error)
    with path.open("rb") as file:
        start = file.read(_START)
    if not start:
        return "the file is empty"
    return str(names.refusal(start, frozenset(names.KINDS))).removesuffix(".")


Header = tuple[tuple[int, int], str, str]


def read_header(path: Path) -> Header | None:
    """Return a file's stored size (width, height), mode and format without decoding; None where broken."""
    try:
        status = path.stat()
    except OSError:
        return None
    return _read_header(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=2**17)
def _read_header(path: Path, size: int, changed: int) -> Header | None:
    """Read the header of a file in the state of these numbers: several steps of a command ask for it."""
    try:
        with path.open("rb") as file, _opened(file) as opened:
            return opened.size, opened.mode, str(opened.format)
    except Exception:  # noqa: BLE001 - who reads the file itself will tell what is wrong with it
        return None


def fit(photo: Photo, frame: Frame) -> NDArray[np.uint8]:
    """Make the tensor, uint8 `[height, width, channels]`, as the service does."""
    size = (photo.width, photo.height)
    content = photo.image if photo.fitted else fitting.resized(photo.image, size, frame)
    return fitting.tensor(content, size, frame)


def _flatten(image: Image.Image, mode: str) -> Image.Image:
    if image.mode in ("I;16", "I;16B", "I;16L", "I"):
        values = np.asarray(image, np.int32).clip(0, 65535)
        # Pillow's own conversion would cut everything above 255.
        image = Image.fromarray(((values + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert(mode)


def read_masks(
    kind: str,
    paths: Sequence[Path],
    request: Request,
    classes: Callable[[Path, NDArray[np.uint16]], NDArray[Any]],
    dtype: type[np.uint8 | np.uint16] = np.uint8,
) -> NDArray[Any]:
    """Read mask files to `[N, height, width]`, a class index per pixel, through the cache.

    `classes` turns one file's numbers into class indices of `dtype`; `kind` names what it does.
    """

    def decode(path: Path) -> NDArray[Any]:
        return framing.mask_into(read_values(path)[0], request, lambda values: classes(path, values))

    shape = (request.height, request.width)
    return cached(kind + framing.rule_of(request), paths, shape, dtype, _each(paths, decode))


def read_contents(paths: Sequence[Path], request: Request) -> NDArray[np.int32] | None:
    """Return where the images of these masks lie in their frames: `Samples.contents`, through the cache."""
    if request.resize != "letterbox":
        return None

    def decode(path: Path) -> NDArray[Any]:
        return np.asarray(read_values(path)[0].shape[::-1], np.int32)

    sizes = cached("mask-size", paths, (2,), np.int32, _each(paths, decode))
    return framing.contents([(int(width), int(height)) for width, height in sizes], request)


def _each(paths: Sequence[Path], decode: Callable[[Path], NDArray[np.uint8]]) -> Fill:
    def fill(rows: NDArray[np.uint8]) -> None:
        def put(row: int) -> None:
            rows[row] = decode(paths[row])

        with ThreadPoolExecutor() as pool:
            try:
                for _ in pool.map(put, range(len(paths))):
                    pass
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    return fill


def fit_images(pixels: NDArray[np.uint8], request: Request) -> NDArray[np.uint8]:
    """Fit decoded images `[N, H, W]` grey or `[N, H, W, 3]` RGB, as `read_images` does."""
    asked = (request.height, request.width, request.channels)
    rows = pixels if pixels.ndim == 4 else pixels[..., None]
    alone = rows.shape[1:3] == asked[:2] and fitting.is_alone(request)
    if alone and rows.shape[3] in {1, asked[2]}:
        return np.repeat(rows, asked[2] // rows.shape[3], axis=-1)
    mode = "L" if request.channels == 1 else "RGB"
    size = (rows.shape[2], rows.shape[1])
    images = (Image.fromarray(row).convert(mode) for row in pixels)
    fitted = [fitting.tensor(fitting.resized(image, size, request), size, request) for image in images]
    return np.stack(fitted).reshape(-1, *asked)


ColourNumbers = Callable[[Path, NDArray[np.uint8], str], NDArray[np.int32]]
"""Turns a coloured mask's RGB `[h, w, 3]` into numbers `[h, w]`; the text is its format."""


def read_values(path: Path, colours: ColourNumbers | None = None) -> tuple[NDArray[np.int32], str, str]:
    """Read a mask's own whole numbers, 0 to 65535, int32 `[height, width]` (of a palette, its indices).

    They are upright by the file's EXIF orientation. With them come Pillow's name of the mode, and the format,
    one of `LOSSY` where it has changed the values.
    """
    try:
        with path.open("rb") as file, Image.open(file) as image:
            mode, kind = image.mode, _format(path, image)
            # Pillow sets a TIFF upright itself, and then no longer says how it lay.
            image.load()
            values = np.asarray(upright.set_upright(image, upright.orientation_of(image)))
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing.") from None
    except Exception as error:  # as for images
        raise DatasetError(f"{path} cannot be read as a mask: {_reason(path, error)}.") from error
    if values.ndim == 3:
        # Some programs save grey as three equal channels, and some an alpha channel besides.
        if mode not in ("LA", "RGB", "RGBA") or np.ptp(values[..., : 1 if mode == "LA" else 3], axis=2).any():
            if colours is None or mode not in ("RGB", "RGBA"):
                raise DatasetError(
                    f"{path} is a colour picture: a mask is grey, has a palette, or a colour per class."
                )
            return colours(path, values[..., :3], kind), "colours", kind
        values = values[..., 0]
    # Both comparisons are false for what is not a number.
    whole = values.min() >= 0 and values.max() <= 65535
    if not whole or (values.dtype.kind == "f" and (values % 1).any()):
        raise DatasetError(f"{path} has other values than whole numbers from 0 to 65535.")
    return values.astype(np.int32), mode, kind


LOSSY = ("JPEG", "MPO", "lossy WebP")
"""Formats that change the values of a mask; by the name of WebP alone it could not be told."""


def _format(path: Path, image: Image.Image) -> str:
    # The four letters stand before the pixels in every lossless WebP, and in no other but by chance.
    return "lossy WebP" if image.format == "WEBP" and b"VP8L" not in path.read_bytes() else str(image.format)


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the hexadecimal digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
