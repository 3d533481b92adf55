"""The names of masks' classes that a folder gives: one per line, or in a legend."""

from pathlib import Path

from training.datasets.dataset import DatasetError
from training.datasets.own.legend import read_legend
from training.datasets.own.listing import Listing

CLASS_NAMES = ("classes.txt", "labels.txt", "class_names.txt", "codes.txt")
"""Where a mask's classes may be named, one per line, beginning with value 0."""


def class_names(listing: Listing) -> list[str]:
    """Return the names of the masks' classes from value 0 on; none where the folder does not name them."""
    if listing.legend:
        legend = read_legend(listing.legend)
        by_value = [
            legend.values.get(value, f"class {value}") for value in range(max(legend.values, default=-1) + 1)
        ]
        return by_value or list(dict.fromkeys(legend.colours.values()))
    path = next((listing.folder / name for name in CLASS_NAMES if (listing.folder / name).is_file()), None)
    return _lines(path) if path else []


def _lines(path: Path) -> list[str]:
    try:
        # Not splitlines(), which also cuts within a line that holds an odd kind of space.
        names = [line.strip() for line in path.read_text("utf-8-sig").rstrip().split("\n")]
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not UTF-8 text: save it as UTF-8.") from error
    for number, name in enumerate(names, 1):
        if not name and len(names) > 1:
            raise DatasetError(
                f"{path}: line {number} is empty, so that the value {number - 1} has no name: write one name "
                f"per line, beginning with that of value 0."
            )
        if names.index(name) < number - 1:
            raise DatasetError(
                f"{path}: lines {names.index(name) + 1} and {number} both say {name!r}: no two classes may "
                f"have the same name."
            )
    return names if any(names) else []
