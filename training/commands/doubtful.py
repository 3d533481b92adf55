"""What `inspect` tells of doubtful photos and labels, in words and in a picture."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image

from training.datasets import DatasetError
from training.datasets.dataset import Doubt
from training.datasets.own.survey import Seen, Survey, sides
from training.evaluation import suspects
from training.evaluation.suspects import Suspect
from training.learnable import LEARNABLE
from training.reports import doubtful

MOST = 10
"""Of a kind, no more than so many are told in words."""


def label_errors(found: Survey, seen: Sequence[Seen], group_by: str) -> list[Suspect] | None:
    """Look for likely label errors; None where the images have no class labels."""
    if LEARNABLE[found.listing.task].truth != "label":
        return None
    files = [found.listing.name(one.item.path) for one in seen]
    labels = [one.item.label for one in seen]
    return suspects.find(found.listing.folder, files, labels, sides(seen, group_by, found.near))


def draw(folder: Path, doubts: Sequence[Doubt], picture: Path) -> Path | None:
    """Draw doubtful photos beside the picture of samples, and return where; None where there are none."""
    sheet = doubtful.sheet(folder, doubts)
    if sheet is None:
        return None
    place = picture.with_name(f"{picture.stem}-doubts.png")
    try:
        Image.fromarray(sheet).save(place, "PNG")
    except OSError as error:
        raise DatasetError(f"{place} cannot be written: {error.strerror or error}.") from error
    return place


def lines(doubts: Sequence[Doubt], errors: Sequence[Suspect] | None) -> Iterator[str]:
    """Yield a line for each doubt, of each kind the first; likely label errors are all told."""
    if errors is not None:
        yield f"likely wrong labels: {len(errors) or 'none'}"
    yield from (f"label? {one}" for one in errors or ())
    kinds: dict[str, list[Doubt]] = defaultdict(list)
    for doubt in doubts:
        kinds[doubt.kind].append(doubt)
    for kind, several in kinds.items():
        yield from (f"doubtful, {doubt}" for doubt in several[:MOST])
        if len(several) > MOST:
            yield f"doubtful, {kind}: {len(several) - MOST} more, which --json has"
