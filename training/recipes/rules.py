"""Which resize rule fits the photos of a folder of one's own, and why: by aspects and the kind of label.

What is chosen was measured on pets (docs/experiments.md, "Which resize rule").
"""

from collections.abc import Sequence

from training.datasets import Resize

NEARLY_SQUARE = 1.15
"""Up to a longer side of so many times the shorter one, stretching changes little."""
LONG = 1.6
"""Beyond it, a middle square leaves out more than a third of a photo."""
MOST = 0.9
"""This part of the photos decides: a few panoramas do not."""


def choose(usual: tuple[Resize, str], sizes: Sequence[tuple[int, int]]) -> tuple[Resize, str]:
    """Return the rule for photos of these stored sizes (width, height), and the reason in a sentence.

    `usual` is the task's own, with its words.
    """
    aspects = sorted(max(size) / min(size) for size in sizes if min(size))
    longest = aspects[int(MOST * (len(aspects) - 1))] if aspects else 1.0
    rule, words = usual
    if longest <= NEARLY_SQUARE:
        rule, words = "stretch", "stretched, for they are nearly square"
    elif longest > LONG and rule == "crop":
        rule, words = "stretch", "stretched, for a middle square would leave out more than a third"
    return rule, (
        f"Photos are {words}: in nine of ten the longer side is at most {longest:.2f} times the shorter one. "
        f"--resize says otherwise."
    )
