"""Golden samples: drawn here, the same every time, and decoding to the pixels they state."""

import numpy as np

from tests.service.manifests import make_input
from training import golden


def test_golden_kinds_draw_what_they_say() -> None:
    """Every golden kind draws every encoding, reproducibly, and each is read as its pixels."""
    for kind in golden.DRAWINGS:
        first, again = golden.samples(kind), golden.samples(kind)
        assert [sample.data for sample in first] == [sample.data for sample in again]
        assert {sample.name for sample in first} == {f"{kind}-{name}" for name in golden.ENCODINGS}
        for sample in first:
            height, width, _ = sample.pixels.shape
            (read,) = golden.tensors([sample], make_input(height, width), 3)
            assert np.abs(read.astype(int) - sample.pixels).max() <= 1, sample.name
