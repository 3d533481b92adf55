"""The formats of label files: how each is recognised, what it is called, and what reads it."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.datasets.labels import annotations, coco, labelme, labelstudio, onehot, tables, yolo
from training.datasets.labels.annotations import Annotation, Report

Reader = Callable[[Path, Report], list[Annotation]]


@dataclass(frozen=True)
class Format:
    """One format. `option` is what --labels calls it; `open` makes a reader for a folder's label files."""

    title: str
    option: str
    open: Callable[[Path, Sequence[Path]], Reader]
    boxes: bool = True
    """Whether it states boxes, or labels of whole images alone."""
    outlines: Callable[[Path], bool] = lambda _: False
    """Whether one of its files states the outlines of objects."""
    by_name: bool = False
    """Whether a file is for the image of its own name, whatever it says within."""
    classes: Callable[[Path], Sequence[str]] = lambda _: ()
    """The classes that one of its files names, whether an image is of them or not; an image that is of none
    of them is of no class, and lacks nothing."""


def _plain(reader: Reader) -> Callable[[Path, Sequence[Path]], Reader]:
    """Return an opener of a format whose files say all by themselves."""
    return lambda *_: reader


FORMATS: dict[str, Format] = {
    "voc": Format("Pascal VOC XML", "voc", _plain(annotations.read_voc), by_name=True),
    "coco": Format("COCO JSON", "coco", _plain(coco.read_coco), outlines=coco.has_outlines),
    "csv boxes": Format("CSV with boxes", "csv", _plain(tables.read_csv)),
    "csv labels": Format("CSV with labels", "csv", _plain(tables.read_csv), boxes=False),
    "one-hot csv": Format(
        "CSV with a column per class",
        "one-hot",
        _plain(onehot.read_onehot),
        boxes=False,
        classes=onehot.classes,
    ),
    "yolo": Format("YOLO .txt", "yolo", yolo.reader, outlines=yolo.has_outlines, by_name=True),
    "labelme": Format("LabelMe JSON", "labelme", _plain(labelme.read_labelme), outlines=labelme.has_outlines),
    "label studio": Format(
        "Label Studio's export", "label-studio", _plain(labelstudio.read), outlines=labelstudio.has_outlines
    ),
    "label studio choices": Format(
        "Label Studio's choices", "label-studio", _plain(labelstudio.read), boxes=False
    ),
}
"""By the names of their layouts; a new format is a module with its reader, and a line here."""

IGNORED = "ignored"
"""The format of files that belong to a layout and hold no labels that could be learnt."""
_SNIFFERS: dict[str, Callable[[Path], str]] = {
    ".xml": annotations.xml_kind,
    ".json": lambda path: coco.kind(path) or labelme.kind(path) or labelstudio.json_kind(path),
    ".csv": lambda path: labelstudio.csv_kind(path) or tables.kind(path) or onehot.kind(path),
}


def recognise(folder: Path, files: Sequence[Path], stems: Collection[str]) -> dict[Path, str]:
    """Return the format of each of a folder's label files, by its content; `stems` are its images'."""
    found = {
        path: _SNIFFERS[path.suffix.lower()](folder / path)
        for path in files
        if path.suffix.lower() in _SNIFFERS
    }
    if coco.INSTANCES in found.values():
        # Key points and captions come with the instances of the same images, and say no more about boxes.
        found = {path: IGNORED if name in coco.BESIDE else name for path, name in found.items()}
    found = {path: coco.INSTANCES if name == coco.KEYPOINTS else name for path, name in found.items()}
    return found | yolo.recognise(folder, files, stems)
