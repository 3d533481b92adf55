"""Measure over HTTP how well live models tell images of another kind from their own.

    python -m benchmarks.familiarity --data-dir DATA [--url URL] [--most 400] [--other FOLDER] [MODEL ...]

To each model that tells familiarity, its own test images are posted, and as many of each other data set that
live models were trained on, drawn pictures, noise, and the images below each `--other` folder. Told are the
share below the model's level (of its own images false alarms, of the others those that are found out) and the
AUROC, the probability that an image of another kind has less familiarity than one of its own: .5 by chance.
Exits with 1 where the false alarms are outside the interval in the manifest, which is of all test images.
"""

import argparse
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.heldout import encoded
from training import golden
from training.evaluation import stitching
from training.schema import Recipe

PATHS = {"classification": "/classify", "localization": "/localize", "segmentation": "/segment"}
DRAWN = 40
AT_ONCE = 4
SUFFIXES = {".jpg", ".jpeg", ".png"}

Values = NDArray[np.float64]


def main() -> int:
    """Print a table of all live models that tell familiarity against all kinds of images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--most", type=int, default=400, help="images of each kind that is not its own")
    parser.add_argument("--other", type=Path, action="append", default=[])
    arguments = parser.parse_args()
    good = True
    with httpx.Client(base_url=arguments.url, timeout=120) as client:
        names = [each["name"] for each in client.get("/summary").json()["models"]]
        told = {name: client.get("/summary", params={"model": name}).json() for name in names}
        recipes = {name: Recipe.model_validate(detail["recipe"]) for name, detail in told.items()}
        tests = {name: _test(recipe, arguments.data_dir) for name, recipe in recipes.items()}
        # Of models of one data set, one stands for it.
        kinds = {recipe.dataset: _some(tests[name], arguments.most) for name, recipe in recipes.items()}
        kinds |= {folder.name: _some(_files(folder), arguments.most) for folder in arguments.other}
        kinds |= drawn()
        print(f"{'model':<12} {'images of':<18} {'count':>6} {'AUROC':>7} {'unlike':>7}")
        for name in arguments.models or names:
            if told[name]["familiarity"]:
                others = {kind: files for kind, files in kinds.items() if kind not in _own(recipes[name])}
                good &= check(client, told[name], tests[name], others)
    return 0 if good else 1


def check(
    client: httpx.Client, detail: dict[str, Any], own: Sequence[bytes], others: dict[str, list[bytes]]
) -> bool:
    """Print a model's rows; return whether its false alarms are within the interval that it states."""
    name, known = detail["name"], detail["familiarity"]
    found = ask(client, detail, own)
    alarms = float((found < known["level"]).mean())
    low, high = known["interval"]
    stated = f"stated {known['false_alarms']:.4f} [{low:.4f}, {high:.4f}] at level {known['level']:g}"
    print(f"{name:<12} {'its own test':<18} {len(found):>6} {'':>7} {alarms:>7.4f}  {stated}", flush=True)
    for kind, files in others.items():
        strange = ask(client, detail, files)
        unlike = float((strange < known["level"]).mean())
        print(
            f"{name:<12} {kind:<18} {len(strange):>6} {auroc(found, strange):>7.4f} {unlike:>7.4f}",
            flush=True,
        )
    return bool(low <= alarms <= high)


def ask(client: httpx.Client, detail: dict[str, Any], files: Sequence[bytes]) -> Values:
    """Return the familiarity of each image."""
    query = {"model": detail["name"]} | ({"mask": "none"} if detail["task"] == "segmentation" else {})
    found: list[float] = []
    for start in range(0, len(files), AT_ONCE):
        parts = [("file", data) for data in files[start : start + AT_ONCE]]
        response = client.post(PATHS[detail["task"]], params=query, files=parts)
        response.raise_for_status()
        found += [each["familiarity"] for each in response.json()["results"]]
    return np.asarray(found)


def auroc(own: Values, strange: Values) -> float:
    """Return the probability that one of `strange` is less than one of `own`; equal ones count half."""
    differences = own[:, None] - strange[None]
    return float((differences > 0).mean() + (differences == 0).mean() / 2)


def drawn() -> dict[str, list[bytes]]:
    """Draw pictures of each kind that there is, and noise."""
    chance = np.random.default_rng(5)
    pictures = {
        f"drawn {kind}": [_png(draw(chance, 200, 150)) for _ in range(DRAWN)]
        for kind, draw in golden.DRAWINGS.items()
    }
    noise = [_png(chance.integers(0, 256, (128, 128, 3), np.uint8)) for _ in range(DRAWN)]
    return pictures | {"noise": noise}


def _own(recipe: Recipe) -> set[str]:
    """Return the kinds that are a model's own: drawn nuclei are like nuclei, but drawn pets like no photo."""
    return {recipe.dataset} | (set() if recipe.golden == "pets" else {f"drawn {recipe.golden}"})


def _test(recipe: Recipe, data_dir: Path) -> list[bytes]:
    test = stitching.whole(recipe.load(data_dir)).test
    return [encoded(test, row) for row in range(len(test))]


def _files(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES]


def _some(files: list[bytes], most: int) -> list[bytes]:
    rows = np.random.default_rng(0).permutation(len(files))[:most]
    return [files[row] for row in rows]


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (httpx.HTTPError, json.JSONDecodeError) as error:
        sys.exit(f"error: {error}")
