"""The rarer formats: right pixels of every kind, nothing of what is cut, and names for what is refused."""

import io
import struct
from collections.abc import Callable

import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.errors import BrokenImage, ImageError, ImageTooLarge, NotAnImage
from service.formats import bitmaps, boxes, names
from service.images import codec, headers
from tests.images import DRAWN, EXPECTED, LOSSY, PALETTE, PICTURE, WHOLE, encode, heic
from tests.service.manifests import make_input
from tests.tiffs import tiff

MAX_PIXELS = 2**24
RGB = make_input(32, 32, 3)
GREY = make_input(32, 32, 1)
Pixels = NDArray[np.uint8]


def read(data: bytes, grey: bool = False) -> NDArray[np.int64]:
    """Decode whole, to `[H, W]` or `[H, W, 3]`."""
    photo = codec.decode(codec.inspect(data, MAX_PIXELS), GREY if grey else RGB, whole=True)
    assert photo.image.size == (photo.width, photo.height)
    return np.asarray(photo.image, np.int64)


FLAT = np.full((40, 64, 3), (60, 120, 180), np.uint8)


@pytest.mark.parametrize("name", WHOLE)
def test_exact_formats_give_their_pixels(name: str) -> None:
    """Formats that keep every pixel come out with every pixel."""
    assert (read(WHOLE[name]) == EXPECTED[name]).all()


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_formats_give_nearly_their_pixels(name: str) -> None:
    """AVIF, HEIC and JPEG in TIFF, of odd sizes too, come out as they were drawn."""
    found = read(LOSSY[name])
    assert found.shape == DRAWN.shape
    assert np.abs(found - DRAWN).mean() < 3


@pytest.mark.parametrize("name", [*WHOLE, *LOSSY])
def test_headers_tell_the_size(name: str) -> None:
    """The size that limits are held against is told by our own code, and is that of the pixels."""
    data = (WHOLE | LOSSY)[name]
    head = headers.read(data, MAX_PIXELS)
    assert (head.width, head.height) == (53, 37)
    with pytest.raises(ImageTooLarge, match="53 x 37"):
        headers.read(data, 53 * 37 - 1)


# ---- TIFF


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("tile", [0, 16])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True)])
@pytest.mark.parametrize(("samples", "kind"), [(1, np.uint8), (3, np.uint8), (1, np.uint16), (3, np.uint16)])
def test_every_build_of_tiff(
    samples: int,
    kind: type[np.uint8 | np.uint16],
    order: str,
    big: bool,
    planar: bool,
    tile: int,
    deflate: bool,
) -> None:
    """Strips and tiles, pixels or planes, either byte order, BigTIFF, packed or not, 8 and 16 bits."""
    most = np.iinfo(kind).max
    stored = np.random.default_rng(1).integers(0, most, (37, 50, samples), kind, endpoint=True)
    data = tiff(
        stored if samples > 1 else stored[..., 0],
        2 if samples > 1 else 1,
        order="<" if order == "<" else ">",
        big=big,
        planar=planar,
        tile=tile,
        rows=10,
        deflate=deflate,
    )
    expected = stored.astype(np.int64) if kind is np.uint8 else stored / 257
    # Of 16-bit colours, the upper eight bits are taken, as of PNGs.
    assert np.abs(read(data, grey=samples == 1).reshape(37, 50, samples) - expected).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["TIFF", "AVIF", "HEIC"])
def test_every_orientation_is_set_upright_once(kind: str, orientation: int) -> None:
    """TIFF's orientation tag, and the rotation and mirror of AVIF and HEIC, are applied, and only once."""
    upright = np.full((40, 64, 3), 255, np.uint8)
    upright[:20, :16] = (200, 0, 0)
    undo: dict[int, Callable[[], Pixels]] = {
        1: lambda: upright,
        2: lambda: upright[:, ::-1],
        3: lambda: upright[::-1, ::-1],
        4: lambda: upright[::-1],
        5: lambda: upright.transpose(1, 0, 2),
        6: lambda: np.rot90(upright),
        7: lambda: np.rot90(upright.transpose(1, 0, 2), 2),
        8: lambda: np.rot90(upright, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(undo[orientation]()))
    if kind == "HEIC":
        data = heic(stored, exif.tobytes(), quality=95, chroma=444)
        assert (b"irot" in data or b"imir" in data) == (orientation > 1)
    else:
        options = {"quality": 95, "subsampling": "4:4:4"} if kind == "AVIF" else {}
        data = encode(stored, kind, exif=exif, **options)
    found = read(data)
    assert found.shape == upright.shape
    assert np.abs(found - upright).max() < 12


def test_first_page_is_taken() -> None:
    """Of a TIFF with several pages, the first."""
    pages = [Image.new("RGB", (16, 12), colour) for colour in ("red", "blue")]
    data = encode(pages[0], "TIFF", save_all=True, append_images=pages[1:])
    assert (read(data) == (255, 0, 0)).all()


def test_one_bit_and_ycbcr_tiffs() -> None:
    """Fax pages, white where they are 0 too, and luma with chroma come out in their colours."""
    page = Image.fromarray(DRAWN[..., 0] > 100)
    for compression in ("group4", "raw"):
        found = read(encode(page, "TIFF", compression=compression), grey=True)
        assert (found == np.asarray(page) * 255).all()
    grey = np.full((16, 16, 3), (200, 128, 128), np.uint8)
    assert np.abs(read(tiff(grey, 6, more=[(530, 3, [1, 1])])) - 200).max() <= 1
    dark = np.full((16, 16), 55, np.uint8)
    assert (read(tiff(dark, 0), grey=True) == 200).all()


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (encode(Image.fromarray(np.ones((8, 8), np.float32)), "TIFF"), "floating-point"),
        (tiff(np.ones((8, 8), np.uint16), 1, more=[(339, 3, [2])]), "signed"),
        (tiff(np.ones((8, 8), np.uint16), 0), "16 bits"),
        (tiff(np.ones((8, 8, 2), np.uint16), 1, more=[(338, 3, [2])]), "transparency"),
        (tiff(np.ones((8, 8, 2), np.uint8), 1, planar=True, more=[(338, 3, [2])]), "planes"),
        (tiff(np.ones((8, 8, 7), np.uint8), 2, more=[(338, 3, [0] * 4)]), "7 samples"),
        (tiff(np.ones((8, 8, 3), np.uint8), 8), "colours"),
        (tiff(np.ones((8, 8), np.uint8), 1, more=[(258, 3, [32])]), "32 bits"),
        (tiff(np.ones((8, 8, 3), np.uint8), 2, order=">", big=True), "BigTIFF"),
        (tiff(np.ones((8, 8, 3), np.uint8), 2, more=[(254, 4, [1])]), "raw files"),
        (encode(PICTURE, "TIFF", compression="lzma"), "compression"),
    ],
)
def test_tiffs_of_other_kinds_are_refused_by_name(data: bytes, word: str) -> None:
    """What would come out wrong, or not at all, is refused with a sentence that says which kind it is."""
    with pytest.raises(NotAnImage, match=word):
        codec.inspect(data, MAX_PIXELS)


def test_tiff_with_giant_tiles_is_refused() -> None:
    """A small picture in one tile of a gigabyte is not decoded."""
    data = tiff(np.ones((8, 8), np.uint8), 1, tile=16, more=[(322, 4, [32_768]), (323, 4, [32_768])])
    with pytest.raises(BrokenImage, match="tiles"):
        codec.inspect(data, MAX_PIXELS)


# ---- GIF


def test_gif_lies_on_white() -> None:
    """What is transparent in a GIF, and what its first frame leaves free of the canvas, is white."""
    picture = Image.new("P", (16, 12), 1)
    picture.putpalette([9, 9, 9, 200, 30, 40])
    picture.putpixel((3, 2), 0)
    data = encode(picture, "GIF", transparency=0)
    found = read(data)
    assert (found[2, 3] == 255).all()
    assert (found[0, 0] == (200, 30, 40)).all()
    opaque = bytearray(encode(picture, "GIF"))
    struct.pack_into("<HH", opaque, 6, 20, 20)
    frame = opaque.index(b"\x2c", 13 + 3 * (2 << (opaque[10] & 7)))
    struct.pack_into("<HH", opaque, frame + 1, 2, 5)
    found = read(bytes(opaque))
    assert found.shape == (20, 20, 3)
    assert (found[5:17, 2:18].reshape(-1, 3) == (200, 30, 40)).all(axis=1).sum() == 16 * 12 - 1
    assert (found[7, 5] == 9).all()
    found[5:17, 2:18] = 255
    assert (found == 255).all()


def test_gif_shows_its_first_frame() -> None:
    """Of an animation, the first frame, though the file is cut in a later one."""
    frames = [Image.new("P", (40, 30), index) for index in range(3)]
    for frame in frames:
        frame.putpalette([10, 20, 30, 200, 30, 40, 1, 2, 3])
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (read(data) == (10, 20, 30)).all()
    assert (read(data[:-20]) == (10, 20, 30)).all()


def test_long_way_to_a_gifs_frame_is_cut_short() -> None:
    """Extensions without end before the frame are refused."""
    start = b"GIF89a" + struct.pack("<HHBBB", 8, 8, 0, 0, 0)
    endless = b"\x21\xfe" + (b"\xff" * 256) * 9000
    for filler in (b"\x21\xfe\x00" * 9000, endless, bytes(9000)):
        with pytest.raises(BrokenImage):
            headers.read(start + filler, MAX_PIXELS)


# ---- BMP


def bmp(depth: int, rows: bytes, *, size: tuple[int, int], kind: int = 0, palette: bytes = b"") -> bytes:
    """Build a BMP with a header of 40 bytes; a negative height is one from the top."""
    start = 54 + len(palette)
    head = struct.pack("<2sIII", b"BM", start + len(rows), 0, start)
    info = struct.pack("<IiiHHIIiiII", 40, *size, 1, depth, kind, len(rows), 0, 0, len(palette) // 4, 0)
    return head + info + palette + rows


COLOURS = bytes([0, 0, 0, 0, 30, 20, 10, 0])
"""Black, and red 10, green 20, blue 30, as BMPs store them."""


@pytest.mark.parametrize(
    ("depth", "row"),
    [
        (1, b"\xa0\0\0\0"),
        (4, b"\x10\x10\0\0"),
        (8, b"\1\0\1\0"),
        (16, struct.pack("<4H", 1 << 10 | 2 << 5 | 3, 0, 1 << 10 | 2 << 5 | 3, 0)),
        (24, bytes([30, 20, 10, 0, 0, 0]) * 2),
        (32, bytes([30, 20, 10, 0, 0, 0, 0, 0]) * 2),
    ],
)
@pytest.mark.parametrize("top_down", [False, True])
def test_every_depth_of_bmp(depth: int, row: bytes, top_down: bool) -> None:
    """1 to 32 bits, stored from the bottom or from the top: every other pixel of the first row is lit."""
    dark = bytes(len(row))
    rows = [row, dark, dark, dark]
    stored = b"".join(rows if top_down else rows[::-1])
    data = bmp(depth, stored, size=(4, -4 if top_down else 4), palette=COLOURS if depth <= 8 else b"")
    found = read(data)
    lit = (8, 16, 24) if depth == 16 else (10, 20, 30)
    assert (found[0, ::2] == lit).all()
    assert not found[0, 1::2].any()
    assert not found[1:].any()


RUNS8 = b"\4\1\0\0" + b"\0\4\1\0\1\0" + b"\0\0" + b"\2\1\0\2\1\0\1\1" + b"\0\0" + b"\4\1\0\1"
RUNS4 = b"\4\x11\0\0" + b"\0\4\x10\x10" + b"\0\0" + b"\2\x11\0\2\1\0\1\x11" + b"\0\0" + b"\4\x11\0\1"


@pytest.mark.parametrize(("depth", "kind", "runs"), [(8, 1, RUNS8), (4, 2, RUNS4)])
def test_runs_in_bmp(depth: int, kind: int, runs: bytes) -> None:
    """Runs, literal pixels and steps are unpacked; runs that end before the picture does are refused."""
    data = bmp(depth, runs, size=(4, 4), kind=kind, palette=COLOURS)
    lit = read(data)[..., 0] == 10
    assert lit.tolist() == [
        [True, True, True, True],
        [True, True, False, True],
        [True, False, True, False],
        [True, True, True, True],
    ]
    for length in range(2, len(runs) - 4):
        for filled in (b"", bytes(len(runs) - length), bytes(500)):
            cut = bmp(depth, runs[:length] + filled, size=(4, 4), kind=kind, palette=COLOURS)
            with pytest.raises(BrokenImage):
                read(cut)


def test_words_are_no_bmp() -> None:
    """Text that begins with the letters BM is no damaged image, but none."""
    with pytest.raises(NotAnImage):
        headers.read(b"BMW is a maker of cars and more", MAX_PIXELS)


# ---- PPM


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"P1 4 4\n0101\n1 0 1 0\n0000\n1111\n", [[255, 0] * 2, [0, 255] * 2, [255] * 4, [0] * 4]),
        (b"P4\n4 4\n\x50\xa0\x00\xf0", [[255, 0] * 2, [0, 255] * 2, [255] * 4, [0] * 4]),
        (b"P2 # by hand\n4 4\n15\n" + b"0 15 1 2\n" * 4, [[0, 255, 17, 34]] * 4),
        (b"P5 4 4 15\n" + b"\x00\x0f\x01\x02" * 4, [[0, 255, 17, 34]] * 4),
        (b"P5 4 4 1023\n" + struct.pack(">4H", 0, 1023, 512, 1) * 4, [[0, 255, 128, 0]] * 4),
        (b"P5 4 4 65535\n" + struct.pack(">4H", 0, 65535, 257, 129) * 4, [[0, 255, 1, 1]] * 4),
        (b"P2 4 4 65535\n" + b"0 65535 257 128 " * 4, [[0, 255, 1, 0]] * 4),
    ],
)
def test_every_kind_of_grey_netpbm(data: bytes, expected: list[list[int]]) -> None:
    """Text and bytes, 1 to 16 bits, with comments: the values are scaled to 255, rounded."""
    assert read(data, grey=True).tolist() == expected


@pytest.mark.parametrize(
    "data",
    [
        b"P3\n4 4\n# colours\n255\n" + b"10 20 30 " * 16,
        b"P6 4 4 255\n" + bytes([10, 20, 30]) * 16,
        b"P6 4 4 65535\n" + struct.pack(">3H", 2570, 5140, 7710) * 16,
        b"P3 4 4 65535 " + b"2570 5140 7710 " * 16,
    ],
)
def test_every_kind_of_colour_netpbm(data: bytes) -> None:
    """Text and bytes, 8 and 16 bits."""
    assert (read(data) == (10, 20, 30)).all()


@pytest.mark.parametrize(
    "data",
    [
        b"P3 4 4 255 " + b"1 2 3 " * 15,
        b"P2 4 4 255 " + b"1 2 3 4 " * 3 + b"1 2 x 4",
        b"P2 4 4 15 " + b"1 2 3 16 " * 4,
        b"P2 4 4 15 " + b"1 2 3 99999999999999999999 " * 4,
        b"P2 4 4 65535 " + b"1 2 3 65536 " * 4,
        b"P2 4 4 65535 ",
        b"P5 4 4 15\n" + b"\x10" * 16,
        b"P5 4 4 0\n" + bytes(16),
        b"P5 4 4 65536\n" + bytes(64),
        b"P5 4",
        b"P1 4 4 0101 0120 0000 0000",
        b"P1 4 4 0101",
        b"P2 4 4 255 1 2 3 4\0\0\0\0\0\0\0",
    ],
)
def test_wrong_netpbm_is_broken(data: bytes) -> None:
    """Too few pixels, too high values and other characters make an image broken, with a reason."""
    with pytest.raises(BrokenImage, match=r"PPM|PBM|fewer|damaged"):
        read(data)


# ---- what is cut, and what is refused


@pytest.mark.parametrize("name", [*WHOLE, *LOSSY])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
def test_what_is_cut_is_never_answered(name: str, share: float) -> None:
    """A file that ends before its last pixels is an ImageError, whatever its format."""
    data = (WHOLE | LOSSY)[name]
    with pytest.raises(ImageError):
        read(data[: int(share * len(data))])


@pytest.mark.parametrize(
    "name", ["gif", "interlaced gif", "lzw tiff", "deflate tiff", "jpeg tiff", "avif", "heic"]
)
def test_what_is_cut_and_filled_with_zeros_is_broken(name: str) -> None:
    """A download that was resumed into nothing is refused wherever the format can tell."""
    data = (WHOLE | LOSSY)[name]
    for share in (0.5, 0.8):
        with pytest.raises(BrokenImage):
            read(data[: int(share * len(data))] + bytes(len(data) - int(share * len(data))))


def test_the_last_bytes_of_heic_tell_that_it_is_cut() -> None:
    """Zeros in place of the last 3 bytes of a HEIC's pixels are found: libheif would show what is left."""
    data = LOSSY["heic"]
    with pytest.raises(BrokenImage, match="zeros"):
        read(data[:-3] + bytes(3))


def test_jpeg_in_tiff_must_end() -> None:
    """Zeros in place of the last third of a JPEG in a TIFF are found: libtiff would show grey."""
    data = bytearray(LOSSY["jpeg tiff"])
    start = data.index(b"\xff\xda")
    end = data.index(b"\xff\xd9", start) + 2
    data[start + (end - start) // 2 : end] = bytes(end - start - (end - start) // 2)
    with pytest.raises(BrokenImage, match="TIFF is cut short"):
        read(bytes(data))


REFUSED = {
    "Photoshop": b"8BPS\0\1" + bytes(40),
    "Targa": bytes(2) + b"\2" + bytes(9) + struct.pack("<HHBB", 40, 30, 24, 0x20),
    "CUR": b"\0\0\2\0\1\0\x20\x20" + bytes(40),
    "PCX": b"\n\5\1\x08" + bytes(124),
    "XPM": b"/* XPM */\nstatic char *_[] = {",
    "SGI": b"\x01\xda\1\1" + bytes(508),
    "PDF": b"%PDF-1.7\n",
    "SVG": b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- drawn -->\n<svg xmlns='http://www.w3.org/2000/svg'/>",
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n",
    "JPEG XL": b"\xff\x0a\0\0",
    "a video": b"\0\0\0\x18ftypisom\0\0\0\0",
    "CR3": b"\0\0\0\x18ftypcrx \0\0\0\1",
    "WebM": b"\x1aE\xdf\xa3\x01",
    "HTML": b"<!DOCTYPE html><title>404</title>",
    "DICOM": bytes(128) + b"DICM",
    "ZIP": b"PK\3\4",
    "no image format that is known": b"hello",
}


@pytest.mark.parametrize("word", REFUSED)
def test_what_is_refused_is_named(word: str) -> None:
    """The error says what the data is, and which formats are read."""
    with pytest.raises(NotAnImage, match=word) as raised:
        headers.read(REFUSED[word], MAX_PIXELS)
    assert "JPEG, PNG, WebP, GIF, BMP, TIFF, PPM (or PGM, PBM), AVIF, HEIC" in raised.value.detail


def test_without_what_reads_it_a_heic_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service runs without pi-heif, and then says of a HEIC which package is missing."""
    monkeypatch.setattr(names, "find_spec", lambda name: None)
    with pytest.raises(NotAnImage, match="pip install pi-heif"):
        headers.read(LOSSY["heic"], MAX_PIXELS)


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", "AVIF"),
        (b"\0\0\0\x1cftypheic\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x1cftypavis\0\0\0\0mif1avif", "AVIF"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isomheic", None),
    ],
)
def test_brands_tell_heic_from_avif(start: bytes, kind: str | None) -> None:
    """The main brand decides; where that is the general one, those that the file is compatible with."""
    assert names.kind_of(start) == kind


def test_heads_of_hostile_boxes_are_bounded() -> None:
    """Boxes in millions, or that claim to be longer than the file, end in an error."""
    start = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
    many = struct.pack(">I4s", 8, b"free") * 1_000_000
    endless = struct.pack(">I4s", 2**31, b"meta") + bytes(100)
    backwards = struct.pack(">I4s", 4, b"meta") + bytes(100)
    for data in (start + many, start + endless, start + backwards, start + struct.pack(">I4s", 0, b"meta")):
        with pytest.raises(BrokenImage):
            headers.read(data, MAX_PIXELS)


def test_the_primary_item_decides() -> None:
    """A thumbnail beside the photo has a size of its own, which is not the photo's."""
    buffer = io.BytesIO()
    file = pillow_heif.from_pillow(Image.fromarray(FLAT))
    file.add_from_pillow(Image.new("RGB", (300, 200), "red"))
    file.save(buffer, quality=95, chroma=444)
    assert (boxes.shown(buffer.getvalue()).width, boxes.shown(buffer.getvalue()).height) == (64, 40)
    assert np.abs(read(buffer.getvalue()) - FLAT).max() <= 3


def test_frames_of_gifs_are_found_behind_extensions() -> None:
    """A comment before the frame is stepped over."""
    data = encode(PALETTE, "GIF", comment=b"drawn " * 200)
    assert bitmaps.gif(data) == (53, 37, (0, 0, 53, 37))


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("animated", [False, True])
def test_zeros_in_place_of_a_webps_pixels_are_refused(lossless: bool, animated: bool) -> None:
    """A WebP that is cut and filled with zeros to its length is refused, where libwebp makes something up."""
    noise = np.random.default_rng(1).integers(0, 256, (160, 200, 3), np.uint8)
    picture, buffer = Image.fromarray(noise), io.BytesIO()
    more = {"save_all": True, "append_images": [picture.rotate(90)]} if animated else {}
    picture.save(buffer, "WEBP", lossless=lossless, quality=90, **more)
    data = buffer.getvalue()
    read(data)
    for share in (0.15, 0.3, 0.4):
        cut = int(share * len(data))
        with pytest.raises(BrokenImage):
            read(data[:cut] + bytes(len(data) - cut))


@pytest.mark.parametrize("lossless", [False, True])
def test_plain_surfaces_of_webp_are_no_damage(lossless: bool) -> None:
    """Zeros are what plain surfaces are made of, in all kinds of WebP."""
    for mode, colour in (("RGB", "white"), ("RGB", (17, 34, 51)), ("RGBA", (0, 0, 0, 0))):
        for side in (8, 64, 1500):
            for method in (0, 4):
                buffer = io.BytesIO()
                options = {"lossless": lossless, "quality": 100, "method": method}
                Image.new(mode, (side, side), colour).save(buffer, "WEBP", **options)
                read(buffer.getvalue())
