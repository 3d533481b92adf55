"""Eight patches of colour, in files that say what their colours are."""

import io

import numpy as np
import pillow_heif
from PIL import Image

from tests import profiles
from tests.images import encode

PATCHES = np.array(
    [
        [255, 0, 0],
        [0, 255, 0],
        [0, 0, 255],
        [200, 100, 50],
        [30, 160, 90],
        [90, 60, 200],
        [128] * 3,
        [250] * 3,
    ],
    np.uint8,
)

PICTURE = Image.fromarray(np.repeat(np.repeat(PATCHES.reshape(2, 4, 3), 16, 0), 16, 1))
P3 = profiles.rgb(profiles.DISPLAY_P3, None)
IN_P3 = profiles.in_srgb(PATCHES, profiles.DISPLAY_P3, None)


def with_profile(kind: str, profile: bytes) -> bytes:
    """Encode the patches with a profile, as exactly as the format can."""
    if kind == "HEIC":
        picture = PICTURE.copy()
        picture.info["icc_profile"] = profile
        buffer = io.BytesIO()
        file = pillow_heif.from_pillow(picture)
        file.info["icc_profile"] = profile
        file.save(buffer, quality=100, chroma=444)
        return buffer.getvalue()
    options: dict[str, dict[str, object]] = {
        "JPEG": {"quality": 100, "subsampling": 0},
        "WEBP": {"lossless": True},
        "AVIF": {"quality": 100, "subsampling": "4:4:4"},
    }
    return encode(PICTURE, kind, icc_profile=profile, **options.get(kind, {}))


def png_with(extra: bytes) -> bytes:
    data = encode(PICTURE, "PNG")
    return data[:33] + extra + data[33:]
