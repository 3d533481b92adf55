"""Untrusted bytes -> an upright image -> the model's tensor.

JPEG, PNG and WebP are read here, other formats by way of `formats`; of an animation, the first frame. The
header alone decides whether an image is within limits. Orientation is applied, alpha is laid over white, CMYK
and palettes become RGB, 16-bit grey is scaled to 8, and colours by a profile become sRGB.
"""

import io
import struct
import warnings
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from service.errors import BrokenImage
from service.formats import chunks, colours, names, reading, upright
from service.formats.names import Unreadable
from service.images import fitting, headers, png
from service.manifest import Input

MAX_DECODED = 2**28
"""Pixels that a JPEG is decoded to, at most, where nobody says less."""
SMALL_BYTES = 16_384
"""Bytes that `as_tensor` looks at, at most."""

# Pillow refuses twice this number before it makes room for the pixels; below that, our own limit decides.
Image.MAX_IMAGE_PIXELS = 2**27
# Pillow warns of odd metadata in what clients send; nobody here can act on it.
warnings.filterwarnings("ignore", module=r"PIL\.")


_NO_PIXELS = Image.new("L", (1, 1))

Header = Image.Image
"""An opened image whose pixels are not decoded yet."""


@dataclass(frozen=True)
class Photo:
    """A decoded image. `width` and `height` are the upright posted image's; `image` may be a smaller copy
    of it, mode L or RGB, where only a tensor is wanted or the whole is too large to draw on; where it is
    `fitted`, only what the model sees of it, at the size that it sees it at.

    Of broken images, those are answered whose damage nobody can tell: flipped bits in a JPEG's or lossy
    WebP's entropy-coded data, which have no checksum, where they leave as many pixels.
    """

    image: Image.Image
    width: int
    height: int
    fitted: bool = False


def without_pixels(width: int, height: int) -> Photo:
    """Return a photo's size alone, for those who draw nothing on it: its pixels can be 48 MB."""
    return Photo(_NO_PIXELS, width, height)


def photo_of(pixels: bytearray, size: tuple[int, int], channels: int, width: int, height: int) -> Photo:
    """Return a photo of decoded pixels, grey (1 channel) or RGB (3), row by row; `size` is theirs."""
    image = Image.frombuffer("L" if channels == 1 else "RGB", size, pixels, "raw")
    return Photo(image, width, height)


def warm_up() -> None:
    """Decode one image of each format: Pillow imports its parsers when it first needs them."""
    spec = Input(height=8, width=8, channels=3, colour="rgb", resize="stretch", normalisation="")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    picture = Image.new("RGB", (16, 16))
    for kind in ("JPEG", "PNG", "WEBP", "MPO"):
        buffer = io.BytesIO()
        # Two pictures make it an MPO, as phones write them: a JPEG with another behind it.
        more = {"save_all": True, "append_images": [picture]} if kind == "MPO" else {}
        picture.save(buffer, kind, exif=exif, **more)
        read(buffer.getvalue(), spec, 256, whole=False)


def warm_up_all() -> None:
    """Get ready for every format: a process that decodes can open no file any more."""
    warm_up()
    for kind in names.KINDS:
        if kind != "HEIF" or names.has_heif():
            reading.prepare(kind)


def inspect(data: bytes, max_pixels: int, head: headers.Head | None = None) -> Header:
    """Read the header alone. Raises NotAnImage, BrokenImage, ImageTooLarge or ImageTooSmall.

    `head` is what `headers.read` gave of it already.
    """
    head = head or headers.read(data, max_pixels)
    try:
        if head.format == "PNG":
            data = chunks.mended(data)
        # One format: no other parser sees the data.
        if head.format in names.PLAIN:
            opened: Image.Image = Image.open(io.BytesIO(data), formats=(head.format,))
        else:
            opened = reading.open_image(data, head.format)
        if head.format == "PNG":
            colours.state_png(opened, data)
    except Unreadable as error:
        raise headers.refused(error) from error
    except Exception as error:  # whatever a parser makes of hostile bytes, it is the image that is wrong
        raise BrokenImage(headers.DAMAGED) from error
    # Else it would be decoded at a size that nobody has checked and paid for.
    if opened.size != (head.width, head.height):
        raise BrokenImage(headers.DAMAGED)
    return opened


def read(
    data: bytes, spec: Input, max_pixels: int, *, whole: bool, head: headers.Head | None = None
) -> tuple[Photo, NDArray[np.uint8]]:
    """Return the photo, with its pixels only where `whole`, and its tensor. Raises an ImageError.

    `head` is what `headers.read` gave of it already.
    """
    photo = decode(inspect(data, max_pixels, head), spec, max_pixels)
    tensor = fit(photo, spec)
    small = photo.fitted or photo.image.size != (photo.width, photo.height)
    if not whole or small:
        photo = without_pixels(photo.width, photo.height)
    # One image gives one tensor, whether it is drawn on or not: to draw, a small copy is decoded once more.
    if whole and small:
        photo = decode(inspect(data, max_pixels), spec, max_pixels, whole=True)
    return photo, tensor


def decode(header: Header, spec: Input, max_pixels: int = MAX_DECODED, *, whole: bool = False) -> Photo:
    """Decode what `inspect` gave, upright and in the model's colours. Raises BrokenImage.

    A JPEG much larger than the model's input is decoded at a fraction of its size, never below one and a
    half times the input, unless `whole`; and in any case at one that has at most `max_pixels`. What is in
    other colours than sRGB is fitted first and converted then, unless `whole`: of 12 megapixels that alone
    would take as long as decoding them.
    """
    mode = "L" if spec.colour == "grey" else "RGB"
    try:
        with header as opened:
            width, height = opened.size
            own = colours.transform_of(opened)
            scale = headers.fraction(width, height, None if whole else fitting.least_side(spec), max_pixels)
            least = None if whole and scale == 1 else min(width, height) // scale
            # First: reading a PNG's orientation loads it too, and a second load hides the error of the first.
            loaded = reading.load(opened, reading.bytes_of(opened), None if own else mode, least)
            orientation = upright.orientation_of(loaded)
            image = _flatten(upright.set_upright(loaded, orientation), own.input_mode if own else mode)
            if orientation >= 5:
                width, height = height, width
            fitted = own is not None and not whole and spec.resize != "tile"
            if fitted:
                image = fitting.resized(image, (width, height), spec)
            if own:
                image = own.apply(image).convert(mode)
    except Unreadable as error:
        raise headers.refused(error) from error
    except Exception as error:  # whatever a parser makes of hostile bytes, it is the image that is wrong
        raise BrokenImage(headers.DAMAGED) from error
    return Photo(image, width, height, fitted)


def as_tensor(data: bytes, spec: Input) -> NDArray[np.uint8] | None:
    """Return the tensor of a PNG that has the model's size and colours already, 8 bits, plain and whole.

    For anything else, damage too, None: `inspect`, `decode` and `fit` tell what it is. The pixels are theirs,
    in a third of the time; every checksum is compared and the pixels are counted first, for what OpenCV makes
    of a damaged file is a picture, not an error. Shape `[height, width, channels]`.

    Safe in the server's own process: zlib inflates to the one length that is right, and OpenCV sees nothing
    but a header that has one possible content, pixels of that length, and filters that exist.
    """
    grey = spec.channels == 1
    # Width, height, 8 bits, grey or RGB, and the one compression, set of filters and order without interlace.
    start = png.START + struct.pack(">IIBBBBB", spec.width, spec.height, 8, 0 if grey else 2, 0, 0, 0)
    if len(data) > SMALL_BYTES or not data.startswith(start) or not fitting.is_alone(spec):
        return None
    row = 1 + spec.width * spec.channels
    found = png.plain(data, spec.height * row)
    # Each row begins with the number of its filter; there are five (PNG, section 9.2).
    if found is None or max(found[0][::row]) > 4:
        return None
    flag = cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR_RGB
    pixels = cv2.imdecode(np.frombuffer(found[1], np.uint8), flag)
    if pixels is None:
        return None
    return np.asarray(pixels, np.uint8).reshape(spec.height, spec.width, spec.channels)


def _flatten(image: Image.Image, mode: str) -> Image.Image:
    """Convert any mode to L or RGB, alpha over white, 16 bits scaled to 8."""
    if image.mode in ("I;16", "I;16B", "I;16L", "I"):
        values = np.asarray(image, np.int32)
        # Rounded value / 257: 65535 becomes 255. Pillow's own conversion would cut everything above 255.
        image = Image.fromarray(((values.clip(0, 65535) + 128) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


def fit(photo: Photo, spec: Input) -> NDArray[np.uint8]:
    """Make the tensor that the manifest asks for, by its rule: uint8 `[height, width, channels]`."""
    size = (photo.width, photo.height)
    content = photo.image if photo.fitted else fitting.resized(photo.image, size, spec)
    return fitting.tensor(content, size, spec)
