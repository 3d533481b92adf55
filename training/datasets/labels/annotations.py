"""What label files state of an image, whatever their format; and Pascal VOC XML."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from training.datasets.labels.shapes import Shape
from training.datasets.own.listing import Box, Fault, Stated

UNNAMED = "object"
"""The label of boxes that have none."""


@dataclass(frozen=True)
class Annotation:
    """One object of one image, as a label file states it; `box` is None where it states a label alone.

    `size` is the image's width and height; `relative` says that the box is in fractions of them; `source` who
    says it, where one file has several people's; `nothing` that the file says that no object is there;
    `ignored` that the object counts neither as found nor as missed, and `crowd` that it is several in one.
    """

    origin: Path
    where: str
    image: str
    label: str
    box: Box | None
    size: tuple[int, int] | None = None
    shape: Shape | None = None
    relative: bool = False
    source: str = ""
    nothing: bool = False
    ignored: bool = False
    crowd: bool = False


def nothing(origin: Path, where: str, image: str) -> Annotation:
    """Return what a label file says by naming an image without any object."""
    return Annotation(origin, where, image, "", None, nothing=True)


Report = Callable[[Path, str], None]
"""Takes what is wrong with a file."""


def finite(value: object) -> float:
    """Return a number that a label file states; ValueError where it is none, or not a finite one."""
    number = float(value)  # type: ignore[arg-type]
    if not math.isfinite(number):
        raise ValueError(f"{value} is no finite number")
    return number


def xml_kind(path: Path) -> str:
    """Return "voc" for an XML file, but for those whose outermost element is another than annotation.

    What cannot be parsed is read, too, so that it is told.
    """
    try:
        with path.open("rb") as file:
            _, first = next(ElementTree.iterparse(file, events=("start",)))  # noqa: S314 - the user's own
    except Exception:  # noqa: BLE001 - who reads the file itself will tell what is wrong with it
        return "voc"
    return "voc" if first.tag == "annotation" else ""


def read_voc(path: Path, report: Report) -> list[Annotation]:
    """Read a Pascal VOC file. Its pixels count from 1 and include the last one."""
    try:
        root = ElementTree.parse(path).getroot()  # noqa: S314 - the user's own files, not a stranger's
    except (OSError, ElementTree.ParseError, ValueError, LookupError) as error:
        # Encodings that the parser does not have are a ValueError or a LookupError.
        report(path, f"is not XML in UTF-8: {error}")
        return []
    found = []
    for number, thing in enumerate(root.iter("object"), start=1):
        try:
            x_min, y_min, x_max, y_max = (
                finite(thing.findtext(f"bndbox/{key}", "")) for key in ("xmin", "ymin", "xmax", "ymax")
            )
        except ValueError:
            report(path, f"object {number} needs a bndbox with the numbers xmin, ymin, xmax and ymax")
            continue
        label = thing.findtext("name", "").strip() or UNNAMED
        image = root.findtext("filename", "").strip() or path.stem
        # The last pixel is within. What has no extent at all is no pixel, but an object that is not there.
        box = (x_min - 1, y_min - 1, _last(x_min, x_max), _last(y_min, y_max))
        hard = thing.findtext("difficult", "").strip() == "1"
        found.append(Annotation(path, f"object {number}", image, label, box, _voc_size(root), ignored=hard))
    if root.find("object") is None:
        found.append(nothing(path, "no object", path.stem))
    return found


def _last(first: float, last: float) -> float:
    return last if last > first else last - 1


def _voc_size(root: ElementTree.Element) -> tuple[int, int] | None:
    try:
        return int(root.findtext("size/width", "")), int(root.findtext("size/height", ""))
    except ValueError:
        return None


def largest(annotations: Iterable[Annotation]) -> Annotation:
    """Return the one with the largest box; the first of equals."""

    def area(annotation: Annotation) -> float:
        x_min, y_min, x_max, y_max = annotation.box or (0, 0, 0, 0)
        return (x_max - x_min) * (y_max - y_min)

    return max(annotations, key=area)


def box_fault(name: str, stated: Stated, size: tuple[int, int]) -> Fault | None:
    """Return what is wrong with a box in an upright image of `size` (width, height).

    One pixel beyond the edge is let pass: some programs count from 1, some include the last pixel.
    """
    width, height = size
    x_min, y_min, x_max, y_max = stated.box
    shown = f"({', '.join(f'{value:g}' for value in stated.box)})"
    if stated.size and stated.size != size:
        text = (
            f"its label file says {stated.size[0]}x{stated.size[1]}, the upright image is {width}x{height} "
            f"({stated.where})"
        )
        return Fault(name, "wrong size", text)
    if max(stated.box) <= 1 < min(size) and min(stated.box) >= -1 and x_max > x_min and y_max > y_min:
        text = (
            f"its box {shown} is in fractions of width and height: x_min, y_min, x_max, y_max in pixels are "
            f"expected, or YOLO's .txt files, which have fractions ({stated.where})"
        )
        return Fault(name, "fractions", text)
    if x_max < x_min or y_max < y_min:
        text = f"its box {shown} has its corners reversed: each maximum must be the larger ({stated.where})"
        return Fault(name, "empty box", text)
    if x_max - x_min < 1 or y_max - y_min < 1:
        text = (
            f"its box {shown} is empty: x_min, y_min, x_max, y_max in pixels, each maximum the larger "
            f"({stated.where})"
        )
        return Fault(name, "empty box", text)
    if x_min < -1 or y_min < -1 or x_max > width + 1 or y_max > height + 1:
        text = f"its box {shown} goes beyond the image, which is {width}x{height} ({stated.where})"
        return Fault(name, "box outside", text)
    return None
