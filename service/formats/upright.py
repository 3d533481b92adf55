"""How an image lies, by its EXIF block (CIPA DC-008, section 4.6.4), and how it is set upright."""

from PIL import ExifTags, Image

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientations, and what sets them upright; from 5 on, width and height change places."""


def orientation_of(image: Image.Image) -> int:
    """Return 1 to 8; 1 where it is missing, of a wrong type or in a damaged block."""
    try:
        found = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # noqa: BLE001 - whatever is wrong with the block, it says nothing of orientation
        return 1
    return found if isinstance(found, int) and found in _UPRIGHT else 1


def set_upright(image: Image.Image, orientation: int) -> Image.Image:
    """Return an image that lies so, upright."""
    return image.transpose(_UPRIGHT[orientation]) if orientation > 1 else image
