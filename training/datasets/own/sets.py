"""Labels that do not exclude each other, of the images of one's own folder."""

from collections.abc import Sequence

import numpy as np

from training.datasets.dataset import DatasetError
from training.datasets.own.keeping import Rows
from training.datasets.own.survey import Seen


def names(seen: Sequence[Seen]) -> tuple[str, ...]:
    """Return all labels; DatasetError where there are not two."""
    found = sorted({name for one in seen for name in one.item.names})
    if len(found) < 2:
        raise DatasetError(
            f"All labels are {found[0]!r}: two at the least are needed." if found else "No image has a label."
        )
    return tuple(found)


def rows(seen: Sequence[Seen], labels: Sequence[str]) -> Rows:
    """Return what makes `Samples.label_sets`."""
    return Rows((len(seen), len(labels)), np.uint8, lambda row: np.isin(labels, seen[row].item.names))
