"""CSV with a column of 0 and 1 per class, as Roboflow's `_classes.csv`, to annotations."""

from pathlib import Path

from training.datasets.labels.annotations import Annotation, Report, nothing
from training.datasets.labels.tables import raw_rows

_FILES = ("filename", "file", "file_name", "image", "image_name", "image_path", "img", "path")
_FLAGS = {"0": False, "1": True, "0.0": False, "1.0": True, "false": False, "true": True}


def kind(path: Path) -> str:
    """Return "one-hot csv" where a file is one: a column of files first, then only zeros and ones."""
    (_, header), *rows = raw_rows(path, 3) or [(1, [""])]
    named = header[0].strip().lower() in _FILES and len(header) > 2
    return "one-hot csv" if named and rows and all(_flags(row) for _, row in rows) else ""


def classes(path: Path) -> list[str]:
    """Return the names of the columns, whether an image is of them or not."""
    ((_, header),) = raw_rows(path, 1)
    return [name.strip() for name in header[1:]]


def read_onehot(path: Path, report: Report) -> list[Annotation]:
    """Read an annotation for each label of an image; for none, that nothing is there."""
    _, *rows = raw_rows(path)
    names = classes(path)
    found = []
    for number, row in rows:
        where, flags = f"line {number}", _flags(row)
        if len(flags) != len(names):
            report(path, f"{where}: a file and {len(names)} times 0 or 1 are expected")
            continue
        image = row[0].strip()
        chosen = [name for name, flag in zip(names, flags, strict=True) if flag]
        found += [Annotation(path, where, image, name, None) for name in chosen]
        found += [nothing(path, where, image)] * (not chosen)
    return found


def _flags(row: list[str]) -> list[bool]:
    """Return what the fields behind the first say; nothing where one of them is no flag."""
    fields = [field.strip().lower() for field in row[1:]]
    return [_FLAGS[field] for field in fields] if all(field in _FLAGS for field in fields) else []
