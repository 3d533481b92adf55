"""Which format some bytes are of, told by their first ones alone: never by a name or a Content-Type."""

from importlib.util import find_spec
from typing import Literal

Kind = Literal["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "HEIF"]
"""Pillow's names of the formats that are read; PPM stands for PBM and PGM too, HEIF for HEIC."""
KINDS: tuple[Kind, ...] = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "HEIF")
TITLES: dict[Kind, str] = {"WEBP": "WebP", "PPM": "PPM (or PGM, PBM)", "HEIF": "HEIC"}
"""What people call them, where that is another word."""
PLAIN: frozenset[Kind] = frozenset(("JPEG", "PNG", "WEBP"))
"""Formats whose decoders have been attacked for decades in every browser; the others are rarer."""

_ALSO: dict[str, Kind] = {
    "JPG": "JPEG",
    "TIF": "TIFF",
    "PGM": "PPM",
    "PBM": "PPM",
    "PNM": "PPM",
    "HEIC": "HEIF",
}


class Unreadable(ValueError):
    """An image that is not read: `args[0]` says in whole sentences why, and what would be right.

    `known` is whether it is whole, as far as is known, but of a kind that is not taken.
    """

    def __init__(self, text: str, *, known: bool = False) -> None:
        super().__init__(text)
        self.known = known


_STARTS: tuple[tuple[bytes, Kind], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)
_BMP_HEADS = (b"\x0c", b"\x28", b"\x34", b"\x38", b"\x40", b"\x6c", b"\x7c")
"""Lengths of the second header: two letters alone would be the start of many a text."""
_HEIF = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
_AVIF = frozenset((b"avif", b"avis"))

_OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"8BPS", "a Photoshop file (PSD)"),
    (0, b"%PDF", "a PDF"),
    (0, b"%!PS", "a PostScript file"),
    (0, b"\xc5\xd0\xd3\xc6", "an EPS file"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "a JPEG 2000 image"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
    (0, b"\0\0\1\0", "an icon (ICO)"),
    (0, b"\0\0\2\0\0\0\0\0", "a Targa image (TGA)"),
    (0, b"\0\0\2\0", "a cursor (CUR)"),
    (0, b"\0\0\n\0\0\0\0\0", "a Targa image (TGA)"),
    (0, b"\n\5\1\1", "a PCX image"),
    (0, b"\n\5\1\x08", "a PCX image"),
    (0, b"/* XPM */", "an XPM image"),
    (0, b"\x01\xda", "an SGI image"),
    (0, b"\x8aMNG", "an MNG animation"),
    (0, b"\x8bJNG", "a JNG image"),
    (0, b"SDPX", "a DPX image"),
    (0, b"XPDS", "a DPX image"),
    (0, b"farbfeld", "a farbfeld image"),
    (0, b"icns", "an icon (ICNS)"),
    (0, b"v/1\1", "an OpenEXR image"),
    (0, b"#?RADIANCE", "a Radiance HDR image"),
    (0, b"DDS ", "a DDS texture"),
    (0, b"qoif", "a QOI image"),
    (0, b"FLIF", "a FLIF image"),
    (0, b"BPG\xfb", "a BPG image"),
    (0, b"P7\n", "a PAM image"),
    (0, b"PF\n", "a PFM image"),
    (0, b"Pf\n", "a PFM image"),
    (0, b"gimp xcf", "a GIMP file (XCF)"),
    (0, b"SIMPLE  =", "a FITS image"),
    (128, b"DICM", "a DICOM image"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"II\xbc", "a JPEG XR image"),
    (0, b"IIRO", "a camera's raw file"),
    (0, b"IIU\0", "a camera's raw file"),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw file"),
    (0, b"\xd7\xcd\xc6\x9a", "a WMF drawing"),
    (40, b" EMF", "an EMF drawing"),
    (0, b"AT&TFORM", "a DjVu document"),
    (0, b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (0, b"FLV\1", "a Flash video"),
    (0, b"\0\0\1\xba", "an MPEG video"),
    (0, b"\0\0\1\xb3", "an MPEG video"),
    (8, b"AVI ", "an AVI video"),
    (8, b"WAVE", "a WAV sound"),
    (0, b"ID3", "an MP3 sound"),
    (0, b"OggS", "an Ogg file"),
    (0, b"PK\3\4", "a ZIP archive or an office document"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!", "a RAR archive"),
)
_BRANDS = {b"crx ": "a camera's raw file (CR3)", b"jxl ": "a JPEG XL image", b"jp2 ": "a JPEG 2000 image"}
_DOCUMENTS = ((b"<svg", "an SVG drawing"), (b"<!doctype html", "an HTML page"), (b"<html", "an HTML page"))


def kind_of(data: bytes) -> Kind | None:
    """Return the format that the first bytes tell, or None where it is none that is read."""
    for start, kind in _STARTS:
        if data.startswith(start):
            return kind
    if data[:2] == b"BM" and data[14:15] in _BMP_HEADS and data[15:18] == b"\0\0\0":
        return "BMP"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3] in (b" ", b"\t", b"\n", b"\r", b"#"):
        return "PPM"
    return _of_brands(data) if data[4:8] == b"ftyp" else None


def _of_brands(data: bytes) -> Kind | None:
    """Return the format of a file of boxes: by its main brand, or where that is general, by the others."""
    brands = [data[8:12], *(data[at : at + 4] for at in range(16, min(data[3], 128), 4))]
    for brand in brands[:1] if brands[0] not in (b"mif1", b"msf1", b"miaf") else brands:
        if brand in _AVIF:
            return "AVIF"
        if brand in _HEIF:
            return "HEIF"
    return None


def name_of(data: bytes) -> str:
    """Return what the data seems to be, with its article, or an empty string where nobody can tell."""
    for at, mark, name in _OTHERS:
        if data.startswith(mark, at):
            return name
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "a video (MP4, MOV)")
    start = data[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in start:
        return "an SVG drawing"
    return next((name for mark, name in _DOCUMENTS if start.startswith(mark)), "")


def title(kind: Kind) -> str:
    """Return what people call a format."""
    return TITLES.get(kind, kind)


def listed(kinds: frozenset[Kind]) -> str:
    """Return the names of some formats in one line, in the usual order."""
    return ", ".join(title(kind) for kind in KINDS if kind in kinds)


def named(text: str) -> frozenset[Kind]:
    """Read formats with commas between them, in any case. Raises ValueError for one that is not read."""
    found: set[Kind] = set()
    for word in filter(None, (word.strip().upper() for word in text.split(","))):
        kind = next((kind for kind in KINDS if kind == _ALSO.get(word, word)), None)
        if kind is None:
            raise ValueError(
                f"{word.lower()!r} is none of the formats that are read: jpeg, png, webp, gif, bmp, tiff, "
                "ppm, avif, heic"
            )
        found.add(kind)
    if not found:
        raise ValueError("at least one format must be read")
    return frozenset(found)


def refusal(data: bytes, taken: frozenset[Kind]) -> Unreadable:
    """Return what is to be said of data of another format than those taken."""
    kind = kind_of(data)
    name = f"{'an' if kind == 'AVIF' else 'a'} {title(kind)} image" if kind else name_of(data)
    found = f"The data is {name}" if name else "The data is of no image format that is known here"
    return Unreadable(f"{found}; the formats that are read: {listed(taken)}.", known=True)


def has_heif() -> bool:
    """Return whether what reads HEIC is installed."""
    return find_spec("pi_heif") is not None


NO_HEIF = (
    "The data is a HEIC image, and what reads those is not installed: pip install pi-heif. Or send a JPEG."
)
