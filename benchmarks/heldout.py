"""Recompute the shipped models' figures over HTTP: post every held-out image, compare the answers.

    python -m benchmarks.heldout --data-dir DATA [--url http://127.0.0.1:8000] [MODEL ...]

The images are posted as the files they are (MNIST's, which have none, as PNG), 16 to a request. Masks come at
the photo's size and are compared at the size of the model, nearest neighbour. Exits with 1 where a figure
differs from the manifest's by more than 0.005.
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
from PIL import Image

from training.datasets import Samples
from training.evaluate import Evaluation, measure
from training.schema import Recipe

TOLERANCE = 0.005
_PATHS = {"classification": "/classify", "localization": "/localize", "segmentation": "/segment"}


def main() -> int:
    """Check the models given on the command line, or all live ones; print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    arguments = parser.parse_args()
    good = True
    print(f"{'model':<12} {'images':>7} {'figure':<10} {'manifest':>9} {'over HTTP':>10} {'difference':>11}")
    with httpx.Client(base_url=arguments.url, timeout=120) as client:
        live = {each["name"]: each for each in client.get("/summary").json()["models"]}
        for name in arguments.models or live:
            found = check(client, name, arguments.data_dir)
            for figure, stated in live[name]["evaluation"]["figures"].items():
                difference = found.figures[figure] - stated
                good &= abs(difference) <= TOLERANCE
                print(
                    f"{name:<12} {found.count:>7} {figure:<10.10} {stated:>9.4f} "
                    f"{found.figures[figure]:>10.4f} {difference:>+11.4f}",
                    flush=True,
                )
    return 0 if good else 1


def check(client: httpx.Client, name: str, data_dir: Path) -> Evaluation:
    """Post the model's whole test split and measure the answers."""
    detail = client.get("/summary", params={"model": name}).json()
    recipe = Recipe.model_validate(detail["recipe"])
    splits = recipe.load(data_dir)
    results: list[dict[str, Any]] = []
    for start in range(0, len(splits.test), 16):
        rows = range(start, min(start + 16, len(splits.test)))
        files = [("file", encoded(splits.test, row)) for row in rows]
        query: dict[str, str | int] = {"model": name}
        if recipe.task == "classification":
            query["top_k"] = 1000
        response = client.post(_PATHS[recipe.task], params=query, files=files)
        response.raise_for_status()
        results += response.json()["results"]
    outputs = {key: np.stack([row(key, each, detail) for each in results]) for key in _keys(recipe.task)}
    return measure([outputs], splits.test, splits.labels)


def encoded(samples: Samples, row: int) -> bytes:
    """Return the image's own file, or its pixels as PNG."""
    if samples.paths is not None:
        return samples.paths[row].read_bytes()
    buffer = io.BytesIO()
    Image.fromarray(samples.images[row].squeeze()).save(buffer, "PNG")
    return buffer.getvalue()


def _keys(task: str) -> tuple[str, ...]:
    return {"classification": ("scores",), "localization": ("scores", "box"), "segmentation": ("mask",)}[task]


def row(key: str, result: dict[str, Any], detail: dict[str, Any]) -> Any:
    """Turn one result back into the model's output: scores, box or one-hot mask at the model's size."""
    labels = detail["labels"]
    if key == "box":
        return np.asarray(list(result["box_normalized"].values()), np.float32)
    if key == "scores":
        scores = {entry["label"]: entry["score"] for entry in result.get("top", [result])}
        return np.asarray([scores.get(label, 0.0) for label in labels], np.float32)
    picture = Image.open(io.BytesIO(base64.b64decode(result["mask"]["data"])))
    size = (detail["input"]["width"], detail["input"]["height"])
    indices = np.asarray(picture.resize(size, Image.Resampling.NEAREST))
    one_hot = np.eye(len(labels), dtype=np.float32)[indices]
    return one_hot[..., 1:] if len(labels) == 2 else one_hot


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (httpx.HTTPError, json.JSONDecodeError) as error:
        sys.exit(f"error: {error}")
