"""What a picture looks like, in a few numbers: enough to tell near-duplicates, and dark or blurred photos.

The hash is that of Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010,
section 3.2): which of the low frequencies of a small grey copy are above their median. The library
`imagehash` makes the same; it would bring SciPy and PyWavelets for one cosine transform, which OpenCV has.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIDE = 96
"""Pixels of the copy that is looked at, which is square."""
LOW = 16
"""So many frequencies of each direction make the hash: of 256 bits, of which the first says nothing."""
APART, APART_SMALL = 48, 16
"""Near-duplicates differ in at most so many bits, small pictures in less: of these many are alike.
Re-encoded, resized or brighter photos of pets differ in up to 24, and such as are cut by 2 % in 34 in the
median; different ones in 82 or more (`benchmarks.doubts`).
"""
COLOUR = 15.0
"""And in colour, brightness aside, by no more than this, of 255."""
ASPECT = 1.1
"""One is no more than so many times wider than the other, at the same height."""
FLAT = 4.0
"""What deviates less from its mean grey, of 255, shows nothing that could be compared."""
_COARSE = 8
_BLOCK = 512


@dataclass(frozen=True)
class Look:
    """What is remembered of a picture. Brightness is of 255."""

    bits: NDArray[np.uint8]
    """The hash, packed: uint8 `[32]`."""
    colours: NDArray[np.int8]
    """A coarse copy's red and blue, each less its green and halved: int8 `[8, 8, 2]`."""
    dark_end: float
    """Only 5 % of the picture are darker."""
    bright_end: float
    """Only 1 % of it are brighter."""
    deviation: float
    """Of the brightness."""
    sharpness: float | None
    """The deviation of the Laplacian by that of the brightness; None of a copy smaller than `SIDE`."""
    aspect: float
    """Width by height."""
    small: bool
    """Whether a side of the picture has less than `SIDE` pixels."""


def look(image: Image.Image, size: tuple[int, int] | None = None) -> Look:
    """Look at a picture of mode L or RGB; `size` is its own (width, height), where it is a smaller copy."""
    width, height = size or image.size
    small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)
    pixels = np.asarray(small)
    grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.float32)
    deviation = float(grey.std())
    edges = float(cv2.Laplacian(grey, cv2.CV_32F).std())
    low = cv2.dct(grey)[:LOW, :LOW].ravel()
    coarse = cv2.resize(pixels, (_COARSE, _COARSE), interpolation=cv2.INTER_AREA).astype(np.int16)
    return Look(
        np.packbits(low > np.median(low)),
        ((coarse[..., ::2] - coarse[..., 1:2]) // 2).astype(np.int8),
        float(np.percentile(grey, 5)),
        float(np.percentile(grey, 99)),
        deviation,
        edges / max(deviation, 1e-6) if min(image.size) >= SIDE else None,
        width / height,
        min(width, height) < SIDE,
    )


def near(looks: Mapping[int, Look]) -> dict[int, int]:
    """Find near-duplicates: of each picture that has some, by its number, the least number among them.

    What is near to the same picture belongs together. All are compared with all: a second for 10,000.
    """
    rows = np.asarray([row for row, one in looks.items() if one.deviation >= FLAT], np.intp)
    if len(rows) < 2:
        return {}
    words = np.stack([looks[row].bits for row in rows]).view(np.uint64)
    colours = np.stack([looks[row].colours for row in rows]).reshape(len(rows), -1).astype(np.int16)
    wide = np.log([looks[row].aspect for row in rows])
    limits = np.where([looks[row].small for row in rows], APART_SMALL, APART)
    groups = rows.copy()
    for start in range(0, len(rows), _BLOCK):
        close = apart(words[start : start + _BLOCK], words[start:]) <= limits[start:]
        for place in np.flatnonzero(close.sum(axis=1) > 1):
            one, others = start + place, start + np.flatnonzero(close[place])
            unlike = np.abs(colours[others] - colours[one]).mean(axis=1) * 2
            alike = (unlike <= COLOUR) & (np.abs(wide[others] - wide[one]) <= np.log(ASPECT))
            joined = np.unique(groups[others[alike]])
            if len(joined) > 1:
                groups[np.isin(groups, joined)] = joined[0]
    names, counts = np.unique(groups, return_counts=True)
    several = np.isin(groups, names[counts > 1])
    return {int(row): int(group) for row, group in zip(rows[several], groups[several], strict=True)}


def apart(some: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """Count the bits in which each of `some` `[M, 4]` differs from each of `others` `[N, 4]`."""
    found = np.zeros((len(some), len(others)), np.uint16)
    for word in range(some.shape[1]):
        found += np.bitwise_count(some[:, None, word] ^ others[None, :, word])
    return found
