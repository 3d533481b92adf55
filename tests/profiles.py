"""ICC profiles of version 2, and what their colours are in sRGB: by the books' formulas, not LittleCMS."""

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
XY = tuple[float, float]

D50 = np.array([0.9642, 1.0, 0.8249])
D65: XY = (0.3127, 0.3290)
SRGB: tuple[XY, XY, XY] = ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
DISPLAY_P3: tuple[XY, XY, XY] = ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06))
ADOBE: tuple[XY, XY, XY] = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
PROPHOTO: tuple[XY, XY, XY] = ((0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001))
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def to_d50(primaries: Sequence[XY], white: XY) -> Floats:
    """Return the matrix from linear RGB to XYZ under D50 (Lindbloom; Bradford's adaptation)."""
    columns = np.array([[x / y, 1.0, (1 - x - y) / y] for x, y in primaries]).T
    light = np.array([white[0] / white[1], 1.0, (1 - white[0] - white[1]) / white[1]])
    matrix = columns * np.linalg.solve(columns, light)
    scale = np.diag((_BRADFORD @ D50) / (_BRADFORD @ light))
    return np.asarray(np.linalg.inv(_BRADFORD) @ scale @ _BRADFORD @ matrix)


def curve(values: Floats, gamma: float | None) -> Floats:
    """Return linear light of values from 0 to 1; without a gamma, by sRGB's curve."""
    if gamma is not None:
        return np.asarray(values**gamma, np.float64)
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def srgb_of_xyz(xyz: ArrayLike) -> Floats:
    """Return the sRGB colours, 0 to 255, of XYZ `[..., 3]` under D50, cut off at sRGB's edge."""
    linear = np.clip(np.asarray(xyz) @ np.linalg.inv(to_d50(SRGB, D65)).T, 0, 1)
    return np.asarray(
        255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    )


def in_srgb(colour: ArrayLike, primaries: Sequence[XY], gamma: float | None, white: XY = D65) -> Floats:
    """Return what a colour `[..., 3]` of 0 to 255 is in sRGB."""
    linear = curve(np.asarray(colour, float) / 255, gamma)
    return srgb_of_xyz(linear @ to_d50(primaries, white).T)


def srgb_of_lab(lab: tuple[float, float, float]) -> Floats:
    """Return the sRGB colour of CIE L*a*b* under D50."""
    fy = (lab[0] + 16) / 116
    parts = np.array([fy + lab[1] / 500, fy, fy - lab[2] / 200])
    return srgb_of_xyz(D50 * np.where(parts > 6 / 29, parts**3, 3 * (6 / 29) ** 2 * (parts - 4 / 29)))


def _fixed(values: ArrayLike) -> bytes:
    return struct.pack(">3i", *(round(float(value) * 65_536) for value in np.asarray(values)))


def _curve(gamma: float | None) -> bytes:
    if gamma is not None:
        return struct.pack(">4sIIH", b"curv", 0, 1, round(gamma * 256))
    table = np.round(curve(np.linspace(0, 1, 1024), None) * 65_535).astype(">u2")
    return struct.pack(">4sII", b"curv", 0, len(table)) + table.tobytes()


def _profile(space: bytes, kind: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    at = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        table += struct.pack(">4sII", name, at + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    length = 128 + len(table) + len(body)
    head = struct.pack(">I4xI4s4s4s12x4s24xI", length, 0x02400000, kind, space, pcs, b"acsp", 0) + _fixed(D50)
    return head.ljust(128, b"\0") + table + body


def rgb(primaries: Sequence[XY], gamma: float | None, white: XY = D65) -> bytes:
    """Return the profile of a screen or a working space."""
    columns = to_d50(primaries, white).T
    tags = {b"wtpt": b"XYZ \0\0\0\0" + _fixed(D50)}
    for name, column in zip((b"r", b"g", b"b"), columns, strict=True):
        tags |= {name + b"XYZ": b"XYZ \0\0\0\0" + _fixed(column), name + b"TRC": _curve(gamma)}
    return _profile(b"RGB ", b"mntr", b"XYZ ", tags)


def grey(gamma: float) -> bytes:
    """Return the profile of grey."""
    tags = {b"wtpt": b"XYZ \0\0\0\0" + _fixed(D50), b"kTRC": _curve(gamma)}
    return _profile(b"GRAY", b"mntr", b"XYZ ", tags)


def cmyk(paper: tuple[float, float, float], cyan: tuple[float, float, float]) -> bytes:
    """Return the profile of a press: L*a*b* of paper and of full cyan; every other ink is black."""
    grid = np.zeros((16, 3))
    grid[0], grid[8] = paper, cyan
    grid[1:8] = grid[9:] = (0, 0, 0)
    coded = np.round(np.stack([grid[:, 0] * 2.55, grid[:, 1] + 128, grid[:, 2] + 128], 1)).astype(np.uint8)
    straight = bytes(range(256))
    eye = struct.pack(">9i", *(65_536 if index % 4 == 0 else 0 for index in range(9)))
    lut = (
        struct.pack(">4sIBBBB", b"mft1", 0, 4, 3, 2, 0) + eye + straight * 4 + coded.tobytes() + straight * 3
    )
    return _profile(b"CMYK", b"prtr", b"Lab ", {b"wtpt": b"XYZ \0\0\0\0" + _fixed(D50), b"A2B0": lut})
