"""CSV with a column of 0 and 1 per class, as Roboflow's `_classes.csv`, to annotations."""

from pathlib import Path

from training.datasets.labels.annotations import Annotation, Report
from training.datasets.labels.tables import raw_rows

_FILES = ("filename", "file", "image", "image_name", "path")


def kind(path: Path) -> str:
    """Return "one-hot csv" where a file is one: a column of files first, then only zeros and ones."""
    (_, header), *rows = raw_rows(path, 3) or [(1, [""])]
    named = header[0].strip().lower() in _FILES and len(header) > 2
    flags = all(field.strip() in ("0", "1") for _, row in rows for field in row[1:])
    return "one-hot csv" if named and rows and flags else ""


def read_onehot(path: Path, report: Report) -> list[Annotation]:
    """Read one label for each image; several, or none, for one image are a fault."""
    (_, header), *rows = raw_rows(path)
    names = [name.strip() for name in header[1:]]
    found = []
    for number, row in rows:
        where = f"line {number}"
        flags = [field.strip() for field in row[1:]]
        if len(flags) != len(names) or set(flags) - {"0", "1"}:
            report(path, f"{where}: a file and {len(names)} times 0 or 1 are expected")
            continue
        chosen = [name for name, flag in zip(names, flags, strict=True) if flag == "1"]
        if len(chosen) == 1:
            found.append(Annotation(path, where, row[0].strip(), chosen[0], None))
        else:
            several = (
                f"{', '.join(chosen)}: one class per image can be learnt" if chosen else "no class at all"
            )
            report(path, f"{where}: {row[0].strip()} is of {several}")
    return found
