"""Golden samples: drawn here, the same every time, and decoding to the pixels they state."""

import io

import numpy as np
from PIL import Image

from training import golden


def test_golden_kinds_draw_what_they_say() -> None:
    """Every golden kind draws every encoding, reproducibly, and decodes to its pixels where lossless."""
    for kind in golden.DRAWINGS:
        first, again = golden.samples(kind), golden.samples(kind)
        assert [sample.data for sample in first] == [sample.data for sample in again]
        assert {sample.name for sample in first} == {f"{kind}-{name}" for name in golden.ENCODINGS}
        png = next(sample for sample in first if sample.name == f"{kind}-png")
        assert (np.asarray(Image.open(io.BytesIO(png.data))) == png.pixels).all()
