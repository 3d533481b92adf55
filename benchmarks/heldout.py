"""Recompute the shipped models' figures over HTTP: post every held-out image, compare the answers.

    python -m benchmarks.heldout --data-dir DATA [--url http://127.0.0.1:8000] [MODEL ...]

The images are posted as the files they are (MNIST's, which have none, as PNG), 16 to a request. Masks and
objects come at the photo's size and are compared in the model's frame, nearest neighbour, as the labels are;
objects are those that `instances=true` lists. `--enlarge 3` posts each photo at three times its size. Exits
with 1 where a figure differs from the manifest's by more than 0.005, or by more than 0.01 where it counts
what lies above a threshold, as objects by a network in bfloat16 do or just do not.
"""

import argparse
import base64
import io
import json
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.datasets import Samples
from training.datasets.framing import box_into, mask_into
from training.evaluation import stitching
from training.evaluation.evaluate import Evaluation, Told, measure
from training.schema import Input, Recipe
from training.tasks.registry import TASKS

TOLERANCE = {"precision": 0.01, "recall": 0.01, "f1": 0.01}
OTHERS = 0.005
_PATHS = {
    "classification": "/classify",
    "multilabel": "/classify",
    "localization": "/localize",
    "detection": "/localize",
    "segmentation": "/segment",
}
_ALL: dict[str, dict[str, str | int]] = {
    "classification": {"top_k": 1000},
    "multilabel": {"top_k": 1000, "threshold": 0},
    "detection": {"threshold": 0},
}
"""What is asked, so that all is answered that is measured."""


def main() -> int:
    """Check the models given on the command line, or all live ones; print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--enlarge", type=int, default=1, metavar="FACTOR")
    arguments = parser.parse_args()
    good = True
    print(f"{'model':<12} {'images':>7} {'figure':<10} {'manifest':>9} {'over HTTP':>10} {'difference':>11}")
    with httpx.Client(base_url=arguments.url, timeout=120) as client:
        live = {each["name"]: each for each in client.get("/summary").json()["models"]}
        for name in arguments.models or live:
            found = check(client, name, arguments.data_dir, arguments.enlarge)
            for figure, stated in live[name]["evaluation"]["figures"].items():
                difference = found.figures[figure] - stated
                good &= abs(difference) <= TOLERANCE.get(figure, OTHERS)
                print(
                    f"{name:<12} {found.count:>7} {figure:<10.10} {stated:>9.4f} "
                    f"{found.figures[figure]:>10.4f} {difference:>+11.4f}",
                    flush=True,
                )
    return 0 if good else 1


def check(client: httpx.Client, name: str, data_dir: Path, factor: int = 1) -> Evaluation:
    """Post the model's whole test split, enlarged by `factor`, and measure the answers."""
    detail = client.get("/summary", params={"model": name}).json()
    recipe = Recipe.model_validate(detail["recipe"])
    splits = stitching.whole(recipe.load(data_dir))
    results: list[dict[str, Any]] = []
    for start in range(0, len(splits.test), 16):
        rows = range(start, min(start + 16, len(splits.test)))
        files = [("file", enlarged(encoded(splits.test, row), factor)) for row in rows]
        query = {"model": name} | _ALL.get(recipe.task, {})
        if splits.test.instances is not None:
            query["instances"] = "true"
        response = client.post(_PATHS[recipe.task], params=query, files=files)
        response.raise_for_status()
        results += response.json()["results"]
    size = splits.test.images.shape[1:3]
    outputs = {
        key: np.stack([row(key, each, detail, size) for each in results]) for key in _keys(recipe.task)
    }
    objects = None
    if splits.test.instances is not None:
        objects = np.stack([numbered(each, recipe.input, size) for each in results])
    task = TASKS[recipe.task]
    told = Told(
        tuple(detail.get("groups", ())), detail["threshold"], tuple(detail.get("label_thresholds", ()))
    )
    return measure(task, [outputs], splits.test, splits.labels, objects, told)


def enlarged(data: bytes, factor: int) -> bytes:
    """Return the picture at `factor` times its size, as PNG, or as it is where that is 1."""
    if factor == 1:
        return data
    picture = Image.open(io.BytesIO(data))
    size = (picture.width * factor, picture.height * factor)
    buffer = io.BytesIO()
    picture.resize(size, Image.Resampling.BICUBIC).save(buffer, "PNG")
    return buffer.getvalue()


def numbered(result: dict[str, Any], frame: Input, size: tuple[int, ...]) -> NDArray[np.int32]:
    """Put the listed objects back where their boxes are, numbered from 1, in the model's frame."""
    ids = np.zeros((result["height"], result["width"]), np.int32)
    if len(result["instances"]) < result["instance_count"]:
        print(f"only {len(result['instances'])} of {result['instance_count']} objects are listed")
    for number, each in enumerate(result["instances"], start=1):
        x_min, y_min, x_max, y_max = (int(each["box"][side]) for side in ("x_min", "y_min", "x_max", "y_max"))
        part = np.asarray(Image.open(io.BytesIO(base64.b64decode(each["mask"]["data"]))))
        ids[y_min:y_max, x_min:x_max][part > 0] = number
    return framed(ids, frame, size).astype(np.int32)


def framed(values: NDArray[Any], frame: Input, size: tuple[int, ...]) -> NDArray[Any]:
    """Bring a mask of the posted image to where the labels are: into the frame, or of tiles onto a canvas."""
    if frame.resize != "tile":
        return mask_into(values, frame)
    canvas = np.zeros(size, values.dtype)
    canvas[: values.shape[0], : values.shape[1]] = values
    return canvas


def encoded(samples: Samples, row: int) -> bytes:
    """Return the image's own file, or its pixels as PNG."""
    if samples.paths is not None:
        return samples.paths[row].read_bytes()
    buffer = io.BytesIO()
    Image.fromarray(samples.images[row].squeeze()).save(buffer, "PNG")
    return buffer.getvalue()


def _keys(task: str) -> tuple[str, ...]:
    return {
        "classification": ("scores",),
        "multilabel": ("scores",),
        "localization": ("scores", "box"),
        "detection": ("boxes", "scores", "labels"),
        "segmentation": ("mask",),
    }[task]


def row(key: str, result: dict[str, Any], detail: dict[str, Any], size: tuple[int, ...]) -> Any:
    """Turn one result back into the model's output: scores, boxes or one-hot mask in the model's frame."""
    labels, frame = detail["labels"], Recipe.model_validate(detail["recipe"]).input
    if "objects" in result:
        return objects_row(key, result, detail, frame)
    if key == "box":
        return box_row(result["box_normalized"], result, frame)
    if key == "scores":
        scores = {entry["label"]: entry["score"] for entry in result.get("top", [result])}
        return np.asarray([scores.get(label, 0.0) for label in labels], np.float32)
    picture = Image.open(io.BytesIO(base64.b64decode(result["mask"]["data"])))
    one_hot = np.eye(len(labels), dtype=np.float32)[framed(np.asarray(picture), frame, size)]
    return one_hot[..., 1:] if len(labels) == 2 else one_hot


def objects_row(key: str, result: dict[str, Any], detail: dict[str, Any], frame: Input) -> NDArray[Any]:
    """Turn a list of objects back into as many as the model gives; what was not answered has no score."""
    shape = next(output["shape"] for output in detail["outputs"] if output["name"] == key)
    rows = np.zeros(shape, np.float32)
    for index, each in enumerate(result["objects"]):
        if key == "boxes":
            rows[index] = box_row(each["box_normalized"], result, frame)
        else:
            rows[index] = each["score"] if key == "scores" else detail["labels"].index(each["label"])
    return rows


def box_row(box: dict[str, float], result: dict[str, Any], frame: Input) -> NDArray[np.float32]:
    """Return where a box in fractions of the posted image lies in the model's frame, `[4]`."""
    x_min, y_min, x_max, y_max = (float(box[side]) for side in ("x_min", "y_min", "x_max", "y_max"))
    return box_into((x_min, y_min, x_max, y_max), (result["width"], result["height"]), frame)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (httpx.HTTPError, json.JSONDecodeError) as error:
        sys.exit(f"error: {error}")
