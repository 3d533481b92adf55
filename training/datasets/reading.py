"""Files on disk to arrays: images and masks at the asked size, and downloads with a checksum."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from training.datasets.cache import Fill, cached
from training.datasets.dataset import DatasetError, Request


def read_images(paths: Sequence[Path], request: Request) -> NDArray[np.uint8]:
    """Read image files upright, stretched to `[N, height, width, channels]` uint8 (1 grey, 3 RGB).

    Through the cache, so that each file is decoded only once: see `cache.py`.
    """
    size = (request.width, request.height)
    shape = (request.height, request.width, request.channels)
    kind = "grey" if request.channels == 1 else "rgb"

    def decode(path: Path) -> NDArray[np.uint8]:
        return read_image(path, size, request.channels)

    return cached(kind, paths, shape, np.uint8, _each(paths, decode))


def read_image(path: Path, size: tuple[int, int], channels: int) -> NDArray[np.uint8]:
    """Read one image file to uint8 `[height, width, channels]`; `size` is (width, height)."""
    try:
        with Image.open(path) as image:
            upright = ImageOps.exif_transpose(image).convert("L" if channels == 1 else "RGB")
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing.") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise DatasetError(f"{path} cannot be read as an image: {error}") from error
    resized = upright.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(resized, np.uint8).reshape(size[1], size[0], channels)


def read_masks(
    kind: str,
    paths: Sequence[Path],
    request: Request,
    classes: Callable[[Path, NDArray[np.uint16]], NDArray[np.uint8]],
) -> NDArray[np.uint8]:
    """Read mask files to `[N, height, width]`, a class index per pixel, through the cache.

    `classes` turns one file's numbers into class indices; `kind` names what it does.
    """
    size = (request.width, request.height)

    def decode(path: Path) -> NDArray[np.uint8]:
        return classes(path, read_mask(path, size))

    return cached(kind, paths, (request.height, request.width), np.uint8, _each(paths, decode))


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
    """Stretch decoded images `[N, H, W]` grey or `[N, H, W, 3]` RGB, as `read_images` does."""
    asked = (request.height, request.width, request.channels)
    rows = pixels if pixels.ndim == 4 else pixels[..., None]
    if rows.shape[1:3] == asked[:2] and rows.shape[3] in {1, asked[2]}:
        return np.repeat(rows, asked[2] // rows.shape[3], axis=-1)
    mode, size = ("L" if request.channels == 1 else "RGB"), (request.width, request.height)
    fitted = [
        np.asarray(Image.fromarray(row).convert(mode).resize(size, Image.Resampling.BILINEAR))
        for row in pixels
    ]
    return np.stack(fitted).reshape(-1, *asked)


def read_mask(path: Path, size: tuple[int, int]) -> NDArray[np.uint16]:
    """Read a mask of whole numbers to `[height, width]`, nearest neighbour; `size` is (width, height)."""
    try:
        with Image.open(path) as image:
            values = Image.fromarray(np.asarray(image, np.int32))
    except FileNotFoundError:
        raise DatasetError(f"{path} is missing.") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise DatasetError(f"{path} cannot be read as a mask: {error}") from error
    return np.asarray(values.resize(size, Image.Resampling.NEAREST), np.uint16)


def download(
    name: str, url: str, checksum: str, folder: Path, algorithm: Literal["sha256", "md5"] = "sha256"
) -> Path:
    """Fetch `url` to `folder / name` unless a good copy is there; a wrong checksum is an error."""
    path = folder / name
    if not path.is_file():
        from keras.utils import get_file

        folder.mkdir(parents=True, exist_ok=True)
        try:
            # The checksum is checked below, so that a file which was there before is checked as well.
            get_file(fname=name, origin=url, cache_dir=str(folder), cache_subdir=".")
        except Exception as error:
            raise DatasetError(
                f"{path} is missing and could not be downloaded from {url} ({error}). "
                f"Put the file there, or point --data-dir at a folder that has it."
            ) from error
    if file_digest(path, algorithm) != checksum:
        raise DatasetError(f"{path} is damaged: its {algorithm} is not {checksum}. Delete it and try again.")
    return path


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the hexadecimal digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
