"""Which resize rule a folder of one's own should have: stretched, letterboxed or cropped photos of pets.

    python -m benchmarks.resize_rules --data-dir data

Of frozen ImageNet features (EfficientNet-Lite0), each rule for itself and all on the same photos, those of
every third breed. Classes: six breeds by chance, 30 photos of each, logistic regression on the pooled
features, accuracy on all their other photos. Boxes: of the head, by ridge regression on the feature map, from
photos by chance; mean IoU in the posted photo, out of the frame as the service carries it. Masks: the animal,
by linear regression on the features of each place at strides 8 to 32; mean IoU of the posted photo's own
pixels. Printed are means over the draws, and the differences from `stretch` with their standard error over
the draws (for masks over the photos), which are the same for each rule.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from service.images import fitting
from training.datasets import SOURCES, Request, Splits, Task
from training.datasets.reading import read_header, read_values
from training.tasks.measures import box_overlaps
from training.zoo import ARCHITECTURES

Features = NDArray[np.float32]

RULES: dict[str, dict[str, Any]] = {
    "stretch": {"resize": "stretch"},
    "letterbox": {"resize": "letterbox"},
    "crop": {"resize": "crop"},
}
BREEDS, PHOTOS, BOXED, MASKED = 6, 30, 400, 120
KNOWN = 12
"""Breeds of which the six are drawn."""


def main() -> None:
    """Measure on every third breed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--side", type=int, default=160)
    parser.add_argument("--draws", type=int, default=30)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        options.data_dir = _reduced(options.data_dir, Path(folder))
        measure(options)


def measure(options: argparse.Namespace) -> None:
    """Measure all rules on the photos in `options.data_dir`; print a table of each kind of label."""
    backbone = ARCHITECTURES["efficientnet-lite0"].pretrained
    assert backbone
    model = backbone.load((options.side, options.side, 3))
    classes, boxes, masks = {}, {}, {}
    for name, rule in RULES.items():
        splits = _loaded(options.data_dir, "classification", options.side, rule)
        parts = (splits.train, splits.validation, splits.test)
        pooled = np.concatenate([features(model, part.images, pool=True) for part in parts])
        labels = np.concatenate([part.labels for part in parts if part.labels is not None])
        classes[name] = [accuracy(pooled, labels, draw) for draw in range(options.draws)]
        boxes[name] = _boxes(model, options, rule)
        if rule["resize"] != "crop":
            masks[name] = _masks(model, options, rule)
        print(f"{name}: {len(labels)} photos", flush=True)
    _tell("classes, accuracy", classes)
    _tell("boxes, mean IoU", boxes)
    _tell("masks, mean IoU", masks)


def _loaded(data_dir: Path, task: Task, side: int, rule: dict[str, Any]) -> Splits:
    target = "breed" if task == "classification" else ""
    source = SOURCES["oxford-iiit-pet"]
    return source.load(data_dir / source.name, Request(task, side, side, 3, target=target, **rule))


def _reduced(data_dir: Path, to: Path) -> Path:
    """Return a data folder of the photos of every third breed, with links to the whole one's files."""
    name = SOURCES["oxford-iiit-pet"].name
    whole, part = (data_dir / name).resolve(), to / name
    (part / "annotations").mkdir(parents=True)
    for folder in ("images", "annotations/xmls", "annotations/trimaps"):
        (part / folder).symlink_to(whole / folder)
    for file in ("trainval.txt", "test.txt"):
        lines = (whole / "annotations" / file).read_text().splitlines()
        known = [line for line in lines if line[0] != "#" and int(line.split()[1]) in range(1, 3 * KNOWN, 3)]
        (part / "annotations" / file).write_text("\n".join(known) + "\n")
    return to


def features(model: keras.Model, images: NDArray[np.uint8], *, pool: bool) -> Features:
    """Return the last feature map of each image, its mean over the places `[N, C]`, or all of it `[N, P]`."""
    rows = []
    for start in range(0, len(images), 16):
        maps = np.asarray(model(images[start : start + 16].astype(np.float32) / 255, training=False))
        rows.append(maps.mean(axis=(1, 2)) if pool else maps.reshape(len(maps), -1).astype(np.float16))
    return np.concatenate(rows)


def accuracy(pooled: Features, labels: NDArray[np.int32], draw: int) -> float:
    """Fit one draw of breeds and photos; return the share of their other photos that is right."""
    chance = np.random.default_rng(draw)
    chosen = chance.choice(np.unique(labels), BREEDS, replace=False)
    rows = [chance.permutation(np.flatnonzero(labels == breed)) for breed in chosen]
    train, test = (
        np.concatenate([some[part] for some in rows]) for part in (slice(PHOTOS), slice(PHOTOS, None))
    )
    true = np.searchsorted(np.sort(chosen), labels)
    mean, spread = pooled[train].mean(axis=0), pooled[train].std(axis=0) + 1e-3
    weights = _logistic((pooled[train] - mean) / spread, np.eye(BREEDS)[true[train]])
    scores = np.hstack([(pooled[test] - mean) / spread, np.ones((len(test), 1))]) @ weights
    return float((scores.argmax(axis=1) == true[test]).mean())


def _logistic(inputs: Features, targets: NDArray[np.float64], penalty: float = 0.03) -> NDArray[np.float64]:
    """Fit multinomial logistic regression by gradient descent with momentum; the last row is the bias."""
    rows = np.hstack([inputs, np.ones((len(inputs), 1))])
    weights = np.zeros((rows.shape[1], targets.shape[1]))
    step = np.zeros_like(weights)
    for _ in range(150):
        logits = rows @ weights
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        step = 0.9 * step - 0.02 * (rows.T @ (shares - targets) / len(rows) + penalty * weights)
        weights += step
    return weights


def _boxes(model: keras.Model, options: argparse.Namespace, rule: dict[str, Any]) -> list[float]:
    """Return for each of ten draws the mean IoU of head boxes in the posted photos."""
    request = Request("localization", options.side, options.side, 3, **rule)
    samples = _loaded(options.data_dir, "localization", options.side, rule).train
    assert samples.boxes is not None
    assert samples.paths is not None
    rows = features(model, samples.images[: 2 * BOXED], pool=False).astype(np.float32)
    rows -= rows.mean(axis=0)
    kernel = rows @ rows.T / rows.shape[1]
    sizes = [header[0] for header in map(read_header, samples.paths[: 2 * BOXED]) if header]
    framed = np.clip(samples.boxes[: 2 * BOXED], 0, 1)
    whole = _loaded(options.data_dir, "localization", options.side, RULES["stretch"]).train.boxes
    assert whole is not None
    found = []
    for draw in range(10):
        order = np.random.default_rng(draw).permutation(2 * BOXED)
        train, test = order[:BOXED], order[BOXED:]
        ridge = kernel[np.ix_(train, train)] + 0.1 * np.trace(kernel) / len(kernel) * np.eye(BOXED)
        middle = framed[train].mean(axis=0)
        answers = kernel[np.ix_(test, train)] @ np.linalg.solve(ridge, framed[train] - middle) + middle
        posted = [
            fitting.box_out_of(tuple(box), sizes[row], request)
            for row, box in zip(test, answers.clip(0, 1).tolist(), strict=True)
        ]
        found.append(float(box_overlaps(np.asarray(posted, np.float32), whole[test]).mean()))
    return found


def _masks(model: keras.Model, options: argparse.Namespace, rule: dict[str, Any]) -> list[float]:
    """Return the IoU of the animal in each of `MASKED` posted photos, learnt from as many others."""
    side = options.side
    request = Request("segmentation", side, side, 3, **rule)
    samples = _loaded(options.data_dir, "segmentation", side, rule).train
    assert samples.masks is not None
    assert samples.paths is not None
    rows = np.random.default_rng(0).permutation(len(samples))[: 2 * MASKED]
    strided = keras.Model(model.input, [_last(model, side // stride) for stride in (8, 16, 32)])
    square: NDArray[np.float64] = np.zeros(())
    total: NDArray[np.float64] = np.zeros(())
    for row in rows[:MASKED]:
        inputs = _places(strided, samples.images[row])
        small = cv2.resize(
            (samples.masks[row] > 0).astype(np.float32), (side // 8, side // 8), interpolation=cv2.INTER_AREA
        )
        square = square + inputs.T @ inputs
        total = total + inputs.T @ small.ravel()
    weights = np.linalg.solve(square + 1e-3 * np.trace(square) / len(square) * np.eye(len(square)), total)
    found = []
    for row in rows[MASKED:]:
        trimap = (
            samples.paths[row].parent.parent / "annotations" / "trimaps" / f"{samples.paths[row].stem}.png"
        )
        true = read_values(trimap)[0] != 2
        answer = (_places(strided, samples.images[row]) @ weights).reshape(side // 8, side // 8)
        whole = cv2.resize(answer.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
        size = (true.shape[1], true.shape[0])
        shown = (
            cv2.resize(np.ascontiguousarray(whole[fitting.placed(size, request).place.pixels]), size) >= 0.5
        )
        found.append(float((shown & true).sum() / (shown | true).sum()))
    return found


def _last(model: keras.Model, side: int) -> Any:
    """Return the output of the last layer whose maps have this side."""
    sized = [
        layer for layer in model.layers if len(layer.output.shape) == 4 and layer.output.shape[1] == side
    ]
    return sized[-1].output


def _places(strided: keras.Model, image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the features of each place at stride 8, from all strides, and a constant: `[P, C]`."""
    maps = [np.asarray(each)[0] for each in strided(image[None].astype(np.float32) / 255, training=False)]
    side = maps[0].shape[0]
    grown = [np.repeat(np.repeat(one, side // len(one), axis=0), side // len(one), axis=1) for one in maps]
    joined = np.concatenate(grown, axis=2).reshape(side * side, -1)
    return np.hstack([joined, np.ones((len(joined), 1))]).astype(np.float64)


def _tell(title: str, found: dict[str, list[float]]) -> None:
    print(f"{title:<20} {'mean':>8} {'against stretch':>18}")
    for name, values in found.items():
        apart = np.asarray(values) - np.asarray(found["stretch"])
        error = apart.std(ddof=1) / np.sqrt(len(apart))
        print(f"{name:<20} {np.mean(values):>8.4f} {apart.mean():>+10.4f} ± {error:.4f}")


if __name__ == "__main__":
    main()
