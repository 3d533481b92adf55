"""What every data set gives: samples in memory, already at the model's input size, in three splits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from service.images.tiling import Tiling
from training.learnable import LEARNABLE, Task, Truth

Resize = Literal["stretch", "letterbox", "crop", "tile"]
"""How an upright image comes into the model's frame: see `service/images/fitting.py`."""
MaskValues = Literal["", "binary", "classes", "instances"]
"""How the numbers in masks are to be read; empty: as they look (`masks.decide`)."""


NOTHING, IGNORED = -1, -2
"""In the label's place of `Samples.objects`: no object; one that counts neither as found nor as missed."""


class DatasetError(Exception):
    """A data set is missing, incomplete or broken. The text names the file and what would be right."""

    exit_code = 1


@dataclass(frozen=True)
class Reading:
    """One way in which a folder can be read: what that means, and the options that say so."""

    meaning: str
    option: str
    task: Task
    labels: str = ""


class Question(DatasetError):
    """A folder can be read in more than one way, and only its owner knows which is meant.

    Where one reading alone is left, the owner has to say that it is meant, or else to mend the folder.
    """

    exit_code = 2

    def __init__(self, what: str, readings: Sequence[Reading]) -> None:
        """Ask with `what` stands in the folder; each reading comes with the option that decides for it."""
        self.what, self.readings = what, tuple(readings)
        ways = "; or ".join(f"{one.meaning}: say {one.option}" for one in readings)
        super().__init__(f"{what}. {'Either' if len(readings) > 1 else 'If'} {ways}.")


@dataclass(frozen=True)
class Samples:
    """Images with whatever is known about them, row by row.

    `images` uint8 `[N, H, W, C]`; `labels` int32 `[N]`, an index into the labels of the splits; `boxes`
    float32 `[N, 4]`, `x_min, y_min, x_max, y_max` as fractions of width and height, beyond 0..1 where an
    object reaches out of what `crop` keeps; `masks` uint8 `[N, H, W]`, a class index per pixel; `paths` the
    images' own files, where each has one; `instances` uint16 `[N, H, W]`, which object a pixel belongs to (0
    none), where objects are told apart; `contents` int32 `[N, 4]`, `x_min, y_min, x_max, y_max` in pixels,
    the last ones exclusive, where the image lies within its padding, in which masks are 0; None: everywhere;
    `tilings` how the rows are tiles, one image's after the other's, where they are; `objects` float32
    `[N, M, 5]` all objects of each image, their boxes like `boxes` but within 0..1, and the index of their
    label: `NOTHING` where an image has fewer than M, `IGNORED` for crowds and difficult ones; `label_sets`
    uint8 `[N, K]`, of labels that do not exclude each other, 1 where an image has the label.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int32] | None = None
    boxes: NDArray[np.float32] | None = None
    masks: NDArray[np.uint8] | None = None
    paths: tuple[Path, ...] | None = None
    instances: NDArray[np.uint16] | None = None
    contents: NDArray[np.int32] | None = None
    tilings: tuple[Tiling, ...] | None = None
    objects: NDArray[np.float32] | None = None
    label_sets: NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: NDArray[np.intp]) -> "Samples":
        """Return the chosen rows, in that order; chosen tiles are windows like any others."""
        return replace(
            self,
            images=self.images[rows],
            labels=None if self.labels is None else self.labels[rows],
            boxes=None if self.boxes is None else self.boxes[rows],
            masks=None if self.masks is None else self.masks[rows],
            instances=None if self.instances is None else self.instances[rows],
            paths=None if self.paths is None else tuple(self.paths[row] for row in rows),
            contents=None if self.contents is None else self.contents[rows],
            objects=None if self.objects is None else self.objects[rows],
            label_sets=None if self.label_sets is None else self.label_sets[rows],
            tilings=None,
        )


@dataclass(frozen=True)
class Doubt:
    """What can be learnt from, but perhaps should not be: its kind in a word or two, the files, below the
    folder, and why.
    """

    kind: str
    files: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        more = f" and {len(self.files) - _NAMED} more" if len(self.files) > _NAMED else ""
        names = f"{', '.join(self.files[:_NAMED])}{more}: " if self.files else ""
        return f"{self.kind}: {names}{self.text}"


_NAMED = 6


@dataclass(frozen=True)
class Splits:
    """Training, validation and test samples, and the names of the classes.

    Test is never trained on nor used to choose anything.
    """

    train: Samples
    validation: Samples
    test: Samples
    labels: tuple[str, ...]
    fingerprint: str = ""
    """Of a folder of one's own: changes when its files do."""
    groups: tuple[str, ...] = ()
    """The group of each label, such as cat and dog of breeds, parallel to `labels`; empty: there are none."""
    doubts: tuple[Doubt, ...] = ()
    """Of a folder of one's own: what is doubtful in it."""


NEAR = "near-"
"""How the fingerprint of a run begins that keeps near-duplicates in one part; older ones did not."""


@dataclass(frozen=True)
class Request:
    """What a recipe asks of a data set: for which task, which target, and how images are fitted."""

    task: Task
    height: int
    width: int
    channels: int
    target: str = ""
    resize: Resize = "stretch"
    crop_share: float = 1.0
    overlap: int = 0
    group_by: str = ""
    """The rest is for folders of one's own: see the fields of the same names in `schema.Recipe`."""
    skip_broken: bool = False
    masks: MaskValues = ""
    labels: str = ""
    fingerprint: str = ""

    @property
    def truth(self) -> Truth:
        """What is learnt of each image."""
        return LEARNABLE[self.task].truth

    @property
    def near(self) -> bool:
        """Whether near-duplicates stay in one part: always, but in runs from before it was so."""
        return not self.fingerprint or self.fingerprint.startswith(NEAR)


@dataclass(frozen=True)
class Source:
    """One data set: where it is from and how to read it from `data_dir / name`."""

    name: str
    title: str
    tasks: tuple[Task, ...]
    licence: str
    homepage: str
    split_rule: str
    load: Callable[[Path, Request], Splits]
    """Reads the official file layout below the given folder; downloads what is absent."""
    tiles: bool = False
    """Whether it can be read in tiles: see `windows.py`."""


def hold_out(
    count: int, fraction: float, seed: int, groups: Sequence[object] | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split `range(count)` into (kept, held out) by chance, whole groups at a time.

    Rows of one group (a video track, a duplicate) never fall on both sides. About `fraction` of the
    groups are held out; the same seed gives the same split.
    """
    keys = np.asarray([str(group) for group in (groups if groups is not None else range(count))])
    names = np.unique(keys)
    shuffled = np.random.default_rng(seed).permutation(names)
    held = np.isin(keys, shuffled[: max(1, round(len(names) * fraction))])
    return np.flatnonzero(~held), np.flatnonzero(held)


def hold_out_per_class(
    labels: NDArray[np.int32], fraction: float, seed: int, groups: Sequence[object] | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Like `hold_out`, but from each class separately, so that a rare class is in both parts."""
    kept, held = [], []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        inner = None if groups is None else [groups[int(row)] for row in rows]
        keep, hold = hold_out(len(rows), fraction, seed + int(label), inner)
        kept.append(rows[keep])
        held.append(rows[hold])
    return np.sort(np.concatenate(kept)), np.sort(np.concatenate(held))
