"""A listing of a folder of one's own in the making."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from training.datasets.labels.labelformats import FORMATS
from training.datasets.own.listing import Fault, Item
from training.datasets.own.tree import Tree, shown

TITLES = {
    "folders": "class folders",
    "groups": "nested class folders",
    "masks": "images/ and masks/",
    "lists": "lists of each class",
    **{name: one.title for name, one in FORMATS.items()},
}
"""The layouts, in words."""


@dataclass
class Draft:
    """What was found so far."""

    tree: Tree
    items: list[Item] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    names: tuple[str, ...] = ()
    legend: Path | None = None
    several: bool = False

    def warn(self, text: str) -> None:
        """Add what can be learnt from, but perhaps not as it was meant."""
        self.warnings.append(text)

    def report(self, path: Path, text: str, kind: str = "broken label") -> None:
        """Add a fault of a file."""
        self.faults.append(Fault(self.name(path), kind, text))

    def name(self, path: Path) -> str:
        """Return a file's name below the folder, as it can be printed."""
        return shown(path.relative_to(self.tree.folder).as_posix())

    def add(self, path: Path, **known: object) -> None:
        """Add an image with what is known about it."""
        self.items.append(Item(self.tree.folder / path, **known))  # type: ignore[arg-type]

    def unlabelled(self, paths: Iterable[Path], right: str) -> None:
        """Add a fault for images without a label."""
        for path in paths:
            self.report(self.tree.folder / path, f"has no label: {right}", "image without label")
