"""What can be learnt: each task by its name, and what all of training may ask of it without TensorFlow.

How it is learnt is in `tasks/`, an object for each name here.
"""

from dataclasses import dataclass
from typing import Literal

Task = Literal["classification", "multilabel", "localization", "detection", "segmentation"]
TaskOption = Literal["classify", "multilabel", "localize", "detect", "segment"]
"""What `--task` calls them."""
Truth = Literal["label", "labels", "box", "objects", "mask"]


@dataclass(frozen=True)
class Learnable:
    """One task, as command lines and folders of one's own know it."""

    option: TaskOption
    truth: Truth
    """What is known of each image: one label, or all; a label with a box, or all of them; a mask."""
    layouts: tuple[tuple[str, ...], ...]
    """The layouts of folders that it is learnt from, see `own/layout.py`; `labels`, `boxes` and `outlines`
    are those of every format of label files that has them. A folder is for the task by itself where it has
    one of the first row; a later row counts where the earlier ones find nothing."""


LEARNABLE: dict[Task, Learnable] = {
    # A box's label is a class as well.
    "classification": Learnable("classify", "label", (("folders", "groups", "labels"), ("boxes",))),
    # Where images have several labels, classification gives way to it: see `Listing.several`.
    "multilabel": Learnable("multilabel", "labels", ((), ("labels",), ("boxes",))),
    "localization": Learnable("localize", "box", (("boxes",),)),
    "detection": Learnable("detect", "objects", (("boxes",), ("masks",))),
    "segmentation": Learnable("segment", "mask", (("masks",), ("outlines",))),
}
"""Every task, by the name that recipes use."""

OPTIONS: dict[TaskOption, Task] = {one.option: name for name, one in LEARNABLE.items()}
