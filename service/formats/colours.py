"""A photo's own colours to sRGB, which is what models are trained on and screens show.

Colours are told by an ICC profile (ICC.1:2010), or by numbers: HEIF's, AVIF's and PNG's code points (ITU-T
H.273; `colr` and `cICP`), PNG's gAMA and cHRM. What says nothing is sRGB. A profile that is broken, or for
other channels than the image has, is passed over, as browsers do; so is HDR (PQ, HLG), which no profile
turns into a picture. LittleCMS converts, by relative colorimetric intent without black point compensation:
what browsers show. Colours that sRGB does not have are cut off at its edge.

A profile is looked at once: transforms are kept by its digest, and one that changes nothing is kept as None,
so that photos in any of the many sRGB profiles pay for a digest only.
"""

import hashlib
import io
import struct
import threading
from collections import OrderedDict
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from .names import Kind

MAX_BYTES = 4 * 2**20
"""Of a profile. The largest that are in use, for presses, have 2 to 3 MB."""
KEPT = 16
"""Transforms that are kept. One from CMYK takes about 2 MB."""
_UNSEEN = 2
"""Levels of 255. A transform that changes no colour by more changes nothing."""
_FAMILIES = {"RGB": b"RGB ", "L": b"GRAY", "CMYK": b"CMYK"}

Transform = ImageCms.ImageCmsTransform
Curve = float | None
"""A gamma, or None for sRGB's own curve."""
XY = tuple[float, float]


def mentioned(data: bytes, kind: Kind) -> bool:
    """Return whether a JPEG, PNG or WebP of a few kB may have colours of its own, without reading it."""
    if kind == "JPEG":
        return b"ICC_PROFILE" in data
    if kind == "WEBP":
        return b"ICCP" in data
    # They stand before the pixels (PNG, section 5.6).
    head = data[: data.find(b"IDAT")]
    return b"iCCP" in head or b"gAMA" in head or b"cHRM" in head or b"cICP" in head


def transform_of(image: Image.Image) -> Transform | None:
    """Return what turns an opened image's colours into sRGB, or None where they are that already.

    Its `input_mode` is the mode that the image must have: RGB, L or CMYK; what comes out is RGB.
    """
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not 128 <= len(profile) <= MAX_BYTES:
        return None
    mode = _family(image.mode)
    # The space of colours stands at a fixed place (ICC.1:2010, table 17).
    return _transforms.of(profile, mode) if profile[16:20] == _FAMILIES[mode] else None


def _family(mode: str) -> str:
    if mode in ("CMYK", "L"):
        return mode
    return "L" if mode in ("1", "LA", "La", "I") or mode.startswith("I;16") else "RGB"


class _Transforms:
    """The last few transforms, by their profiles' digests. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[bytes, str], Transform | None] = OrderedDict()

    def of(self, profile: bytes, mode: str) -> Transform | None:
        key = (hashlib.sha256(profile).digest(), mode)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = _made(profile, mode)
        with self._lock:
            self._kept[key] = made
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return made

    def __len__(self) -> int:
        return len(self._kept)


_transforms = _Transforms()


def _made(profile: bytes, mode: str) -> Transform | None:
    try:
        found = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        made = ImageCms.buildTransform(
            found, _srgb(), mode, "RGB", renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC
        )
        return made if mode == "CMYK" or _changes(made, mode) else None
    except Exception:  # noqa: BLE001 - whatever is wrong with a profile, the photo is shown without it
        return None


@cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


def _changes(transform: Transform, mode: str) -> bool:
    """Return whether a transform changes any of the colours all over the cube."""
    steps = np.arange(0, 256, 15, dtype=np.uint8) if mode == "RGB" else np.arange(256, dtype=np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3) if mode == "RGB" else steps[None]
    before = Image.fromarray(grid)
    after = np.asarray(transform.apply(before), np.int16)
    return bool(np.abs(after - np.asarray(before.convert("RGB"))).max() > _UNSEEN)


# ---- colours told by numbers


_D65: XY = (0.3127, 0.3290)
_BT709: tuple[XY, XY, XY, XY] = (_D65, (0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
_PRIMARIES: dict[int, tuple[XY, XY, XY, XY]] = {
    1: _BT709,
    9: (_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    12: (_D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
"""White, red, green and blue of BT.709, BT.2020 and Display P3 (H.273, table 2); others count as BT.709."""
_CURVES: dict[int, Curve] = {4: 2.2, 5: 2.8, 8: 1.0}
"""Transfer functions that are a gamma (H.273, table 3); others, a camera's too, are shown as sRGB's."""
_HDR = (16, 18)
_SRGB_GAMMA = 0.45455


def state(image: Image.Image, code_points: tuple[int, int] | None) -> None:
    """Give an opened image the profile that its primaries and transfer function mean, unless it has one."""
    if image.info.get("icc_profile") or code_points is None or code_points[1] in _HDR:
        return
    meaning = (_PRIMARIES.get(code_points[0], _BT709), _CURVES.get(code_points[1]))
    if meaning != (_BT709, None):
        image.info["icc_profile"] = _profile(*meaning, _family(image.mode))


def state_png(image: Image.Image, data: bytes) -> None:
    """Give an opened PNG the profile that its other chunks mean: cICP before iCCP, sRGB, gAMA and cHRM.

    That is the order of the PNG specification, third edition, section 4.3.
    """
    at = data.find(b"\0\0\0\4cICP", 0, 65_536)
    if at > 0:
        image.info.pop("icc_profile", None)
        state(image, (data[at + 8], data[at + 9]))
    elif not image.info.get("icc_profile") and "srgb" not in image.info:
        gamma, white = image.info.get("gamma"), image.info.get("chromaticity")
        if gamma or white:
            _state_measured(image, gamma or _SRGB_GAMMA, white)


def _state_measured(image: Image.Image, gamma: float, chromaticity: tuple[float, ...] | None) -> None:
    """Take gAMA and cHRM at their word, but for those that mean sRGB, as nearly all do."""
    points = _BT709
    if chromaticity and len(chromaticity) == 8 and chromaticity[1] > 0:
        found = [(chromaticity[at], chromaticity[at + 1]) for at in (0, 2, 4, 6)]
        if np.abs(np.subtract(found, _BT709)).max() > 0.005:
            points = (found[0], found[1], found[2], found[3])
    curve = None if abs(gamma - _SRGB_GAMMA) < 0.02 else round(1 / gamma, 3)
    if (points, curve) != (_BT709, None) and (curve is None or 0.2 < curve < 10):
        image.info["icc_profile"] = _profile(points, curve, _family(image.mode))


@lru_cache(64)
def _profile(points: tuple[XY, XY, XY, XY], curve: Curve, mode: str) -> bytes | None:
    """Return an ICC profile, version 4.2, of white, red, green and blue, or of grey; None if impossible."""
    # Parametric curves: a gamma, or sRGB's, which is linear near black (IEC 61966-2-1).
    numbers = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045) if curve is None else (curve,)
    kind = 3 if curve is None else 0
    tone = struct.pack(">4sIHH", b"para", 0, kind, 0) + b"".join(_fixed(number) for number in numbers)
    tags = {b"wtpt": _xyz(_D50)}
    if mode == "L":
        tags[b"kTRC"] = tone
    else:
        try:
            columns = _colorants(points).T
        except np.linalg.LinAlgError:
            return None
        for name, column in zip((b"r", b"g", b"b"), columns, strict=True):
            tags |= {name + b"XYZ": _xyz(column), name + b"TRC": tone}
    space = b"GRAY" if mode == "L" else b"RGB "
    # Size, maker, version, class, spaces, date, signature, flags; intent; white (ICC.1:2010, table 17).
    head = struct.pack(">8xI4s4s4s12x4s24xI", 0x04200000, b"mntr", space, b"XYZ ", b"acsp", 1)
    return _assembled(head + _xyz(_D50)[8:], tags)


_D50 = np.array([0.9642, 1.0, 0.8249])
"""The white of profiles (ICC.1:2010, section 7.2.16)."""
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])


def _colorants(points: tuple[XY, XY, XY, XY]) -> NDArray[np.float64]:
    """Return the columns of the matrix from linear RGB to XYZ, adapted to D50 by Bradford's method."""
    white, *primaries = (np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in points if y)
    matrix = np.stack(primaries, axis=1)
    if matrix.shape != (3, 3):
        raise np.linalg.LinAlgError
    matrix = matrix * np.linalg.solve(matrix, white)
    scale = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    return np.asarray(np.linalg.inv(_BRADFORD) @ scale @ _BRADFORD @ matrix)


def _fixed(number: float) -> bytes:
    return struct.pack(">i", int(np.clip(round(number * 65_536), -(2**31), 2**31 - 1)))


def _xyz(values: NDArray[np.float64]) -> bytes:
    return struct.pack(">4sI", b"XYZ ", 0) + b"".join(_fixed(float(value)) for value in values)


def _assembled(head: bytes, tags: dict[bytes, bytes]) -> bytes:
    at = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, value in tags.items():
        table += struct.pack(">4sII", name, at + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    return struct.pack(">I", 128 + len(table) + len(body)) + head[4:].ljust(124, b"\0") + table + body
