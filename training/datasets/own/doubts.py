"""What in a folder of one's own can be learnt from, but is doubtful; `train` takes it all the same.

The kinds, and the limits of dark and bright, are those of the library `cleanvision`, which would bring a
dozen others along.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from training.datasets.dataset import Doubt
from training.datasets.own.likeness import FLAT, Look
from training.datasets.own.listing import Part
from training.datasets.own.survey import Seen, Survey, sides
from training.learnable import LEARNABLE

NEAR = "near-duplicates"
ACROSS = "near-duplicates in different parts"
UNLIKE = "near-duplicates with different labels"

FEW = 10
"""Of a class with fewer photos, figures say little."""
UNEVEN = 10
"""So many times the photos of the smallest class: more than its weight in training makes up for."""
DARK, BRIGHT = 0.32 * 255, 0.95 * 255
"""Of a dark photo all but 1 % is below, of a bright one all but 5 % above."""
BLURRED = 0.14
"""`Look.sharpness` of a blurred photo is below; of 981 photos of pets none is."""
ODD = 4.0
"""So many times larger, smaller, wider or higher than the middle photo."""
USUAL = 0.25
"""What more than this part of all photos has is how photos are here, and is not told."""


def doubts(found: Survey, seen: Sequence[Seen], parts: Sequence[Part]) -> tuple[Doubt, ...]:
    """Tell what is doubtful about the images `seen`, each in its part."""
    if LEARNABLE[found.listing.task].truth == "objects":
        # An image with many objects is of no one class.
        seen = [replace(one, item=replace(one.item, label="")) for one in seen]
    return (*_counts(seen, parts), *_alike(found, seen, parts), *_looks(found, seen), *_shapes(found, seen))


def _counts(seen: Sequence[Seen], parts: Sequence[Part]) -> Iterator[Doubt]:
    counts = Counter(label for one in seen for label in _counted_as(one)).most_common()
    held = (one for one, part in zip(seen, parts, strict=True) if part == "test")
    tested = Counter(label for one in held for label in _counted_as(one))
    for label, count in counts:
        if count < FEW:
            text = f"{label or 'the folder'} has {count}, {tested[label]} of them for the test"
            yield Doubt(
                "few photos", (), f"{text}: figures of so few say little, and 20 or more teach better"
            )
    if counts and counts[0][1] > UNEVEN * counts[-1][1]:
        (most, many), (least, few) = counts[0], counts[-1]
        text = f"{most} has {many / few:.0f} times the photos of {least}: what would help is more of {least}"
        yield Doubt("uneven classes", (), text)


def _counted_as(one: Seen) -> tuple[str, ...]:
    """Return the labels that an image counts for: itself where it is of no one class."""
    return (one.item.label,) if one.item.labels is None else one.item.labels


def _alike(found: Survey, seen: Sequence[Seen], parts: Sequence[Part]) -> Iterator[Doubt]:
    """Tell the groups of near-duplicates, and where they have different labels or are in different parts."""
    groups: dict[int, list[int]] = defaultdict(list)
    for place, group in enumerate(sides(seen, "", found.near)):
        groups[group].append(place)
    for places in groups.values():
        # Of pictures that are the same to the pixel, other things are told.
        if len({seen[place].key for place in places}) == 1:
            continue
        files = tuple(found.listing.name(seen[place].item.path) for place in places)
        labels = sorted({" and ".join(seen[place].item.names) for place in places})
        held = sorted({str(parts[place]) for place in places})
        if len(labels) > 1:
            yield Doubt(UNLIKE, files, f"almost the same picture, as {' and as '.join(labels)}")
        if len(held) > 1:
            text = f"almost the same picture, in {' and in '.join(held)}: the figures will be too good"
            yield Doubt(ACROSS, files, text)
        if len(labels) == len(held) == 1:
            yield Doubt(NEAR, files, "almost the same picture; all are in one part")


def _looks(found: Survey, seen: Sequence[Seen]) -> Iterator[Doubt]:
    """Tell what hardly shows anything: one doubt for each photo, the first that holds."""
    tests: tuple[tuple[str, Callable[[Look], bool], Callable[[Look], str]], ...] = (
        ("blank", lambda one: one.deviation < FLAT, lambda _: "almost nothing but one grey"),
        (
            "dark",
            lambda one: one.bright_end < DARK,
            lambda one: f"99 % of it are darker than {one.bright_end / 2.55:.0f} % of white",
        ),
        (
            "bright",
            lambda one: one.dark_end > BRIGHT,
            lambda one: f"95 % of it are brighter than {one.dark_end / 2.55:.0f} % of white",
        ),
        (
            "blurred",
            lambda one: one.sharpness is not None and one.sharpness < BLURRED,
            lambda _: "even small it shows no edges",
        ),
    )
    told: set[int] = set()
    for kind, holds, words in tests:
        which = [one for one in seen if one.look and one.row not in told and holds(one.look)]
        if len(which) > USUAL * len(seen):
            continue
        told.update(one.row for one in which)
        for one in which:
            assert one.look is not None
            yield Doubt(kind, (found.listing.name(one.item.path),), words(one.look))


def _shapes(found: Survey, seen: Sequence[Seen]) -> Iterator[Doubt]:
    if not seen:
        return
    sides = np.sqrt([one.width * one.height for one in seen])
    aspects = np.asarray([one.width / one.height for one in seen])
    for kind, values in (("odd size", sides), ("odd shape", aspects)):
        middle = float(np.median(values))
        far = np.maximum(values / middle, middle / values) > ODD
        if far.mean() > USUAL:
            continue
        usual = seen[int(np.abs(values - middle).argmin())]
        for one in (one for one, is_far in zip(seen, far, strict=True) if is_far):
            text = f"{one.width}x{one.height}, where {usual.width}x{usual.height} is usual"
            yield Doubt(kind, (found.listing.name(one.item.path),), text)
