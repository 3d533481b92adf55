"""The mask codec: probabilities -> class indices -> run lengths, outlines."""

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco


def enlarge(
    probabilities: NDArray[np.float32], height: int, width: int, threshold: float
) -> NDArray[np.uint8]:
    """Turn probabilities `[h, w, K]` into class indices `[height, width]`.

    The probabilities are interpolated first, so that edges come out smooth; where the image is larger than
    `interpolated` gives, the indices are repeated.
    """
    indices = decide(interpolated(probabilities, height, width), threshold)
    if indices.shape != (height, width):
        indices = np.asarray(cv2.resize(indices, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
    return indices


def interpolated(probabilities: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Interpolate probabilities `[h, w, K]` (bilinear) to an image's size, twice the model's at most."""
    h, w, channels = probabilities.shape
    inner = (min(width, 2 * w), min(height, 2 * h))
    if inner == (w, h):
        return probabilities
    resized = cv2.resize(probabilities, inner, interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32).reshape(inner[1], inner[0], channels)


def repeated(few: int, many: int) -> NDArray[np.intp]:
    """Return which of `few` rows (or columns) each of `many` shows, `[many]`, as `enlarge` repeats them."""
    source = np.arange(few, dtype=np.float32)[:, None]
    return np.asarray(cv2.resize(source, (1, many), interpolation=cv2.INTER_NEAREST).ravel(), np.intp)


def decide(probabilities: NDArray[np.float32], threshold: float) -> NDArray[np.uint8]:
    """Turn probabilities `[h, w, K]` into class indices `[h, w]`.

    With K 1 the value is the probability of class 1, which counts from `threshold` on; otherwise the most
    probable class wins, and a winner below `threshold` gives way to class 0.
    """
    if probabilities.shape[-1] == 1:
        return (probabilities[..., 0] >= threshold).astype(np.uint8)
    return _winners(probabilities, threshold)


def _winners(probabilities: NDArray[np.float32], threshold: float) -> NDArray[np.uint8]:
    """Return the most probable class per pixel: plane by plane, many times faster than argmax of few."""
    best, *others = cv2.split(probabilities)
    indices = np.zeros(best.shape, np.uint8)
    for index, plane in enumerate(others, start=1):
        indices[plane > best] = index
        best = np.maximum(best, plane)
    if threshold:
        indices[best < threshold] = 0
    return indices


def areas(mask: NDArray[np.uint8], count: int) -> list[int]:
    """Count the pixels of each of `count` classes: a third of the time of NumPy's bincount, and no memory.

    In pieces, for OpenCV counts in float32, which is exact up to 2**24.
    """
    flat, piece = mask.reshape(1, -1), 2**24
    found = np.zeros(count, np.int64)
    for start in range(0, mask.size, piece):
        counted = cv2.calcHist([flat[:, start : start + piece]], [0], None, [count], [0, count])
        found += counted.ravel().astype(np.int64)
    return [int(pixels) for pixels in found]


def run_lengths(binary: NDArray[np.bool_]) -> str:
    """Encode one binary mask `[H, W]` as COCO's compressed counts."""
    counts: bytes = coco.encode(np.asfortranarray(binary.astype(np.uint8)))["counts"]
    return counts.decode("ascii")


def run_lengths_within(part: NDArray[np.bool_], x: int, y: int, size: tuple[int, int]) -> str:
    """Encode a mask of `size` (height, width) whose ones are all in `part`, its upper left corner at x, y.

    It takes as long as the part is large, not as the whole.
    """
    height, width = size
    # COCO counts down the columns: zeros, ones, zeros, ... from the upper left corner.
    padded = np.zeros((part.shape[1], part.shape[0] + 2), np.int8)
    padded[:, 1:-1] = part.T
    changes = np.diff(padded, axis=1)
    places = [
        (x + columns) * height + y + rows
        for columns, rows in (np.nonzero(changes == sign) for sign in (1, -1))
    ]
    starts, ends = places
    # What ends at the bottom of one column goes on at the top of the next.
    apart = starts[1:] != ends[:-1]
    starts, ends = starts[np.append(True, apart)], ends[np.append(apart, True)]
    edges = np.column_stack([starts, ends]).ravel()
    counts = np.diff(edges, prepend=0, append=height * width)
    if not counts[-1]:
        counts = counts[:-1]
    packed = coco.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width)
    return str(packed["counts"].decode("ascii"))


def outlines(
    binary: NDArray[np.bool_], x: int = 0, y: int = 0
) -> tuple[tuple[tuple[float, ...], ...], tuple[tuple[float, ...], ...]]:
    """Trace a binary mask whose upper left corner is at x, y: (outlines, holes).

    Each outline is a flat x0, y0, x1, y1, ... in pixel centres.
    """
    found, tree = cv2.findContours(
        binary.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(x, y)
    )
    outer: list[tuple[float, ...]] = []
    holes: list[tuple[float, ...]] = []
    if tree is not None:
        for contour, links in zip(found, tree.reshape(-1, 4), strict=True):
            flat = tuple(float(value) for value in contour.ravel())
            (outer if links[3] < 0 else holes).append(flat)
    return tuple(outer), tuple(holes)
