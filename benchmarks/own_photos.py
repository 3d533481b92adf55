"""What somebody with a few photos gets, and how soon: from `train --export` to a live model's answers.

    python -m benchmarks.own_photos --data-dir data [--only breeds|heads|masks] [--ways default quick scratch]

Each seed takes other photos of Oxford-IIIT Pet into a folder as a user's would be: thirty of each of six
breeds, 120 with the box of their head, or 120 with masks. A service runs that knows no model. The clock
begins with the command and ends with the first answer of the model; then photos that were kept aside are
posted. `scratch` is the same command with `--weights none` and as much time for its training.
"""

import argparse
import base64
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.servers import running, striate
from training.datasets import SOURCES, Request, Samples, Task
from training.tasks import measures

WAYS = {"default": [], "quick": ["--quick"], "scratch": ["--weights", "none"]}
MINUTES = 1.0
"""What a folder of so few photos has by default."""
BREEDS, OF_EACH, OF_ALL = 6, 30, 120
ASIDE = 300
SIDE = 128
"""At which masks are compared: most of the data set's were enlarged from it."""


@dataclass(frozen=True)
class Job:
    """One kind of labels: how a folder is made of photos, and how answers are measured."""

    task: Task
    path: str
    write: Callable[[Path, Samples, Sequence[int], Sequence[str]], None]
    measure: Callable[[list[Any], Samples, Sequence[str]], float]
    figure: str


def _class_folders(folder: Path, photos: Samples, rows: Sequence[int], labels: Sequence[str]) -> None:
    assert photos.paths is not None
    assert photos.labels is not None
    for row in rows:
        place = folder / labels[photos.labels[row]]
        place.mkdir(parents=True, exist_ok=True)
        (place / photos.paths[row].name).symlink_to(photos.paths[row].resolve())


def _boxes(folder: Path, photos: Samples, rows: Sequence[int], _: Sequence[str]) -> None:
    assert photos.paths is not None
    folder.mkdir(parents=True)
    for row in rows:
        photo = photos.paths[row].resolve()
        (folder / photo.name).symlink_to(photo)
        xml = photo.parents[1] / "annotations" / "xmls" / f"{photo.stem}.xml"
        (folder / xml.name).symlink_to(xml)


def _masks(folder: Path, photos: Samples, rows: Sequence[int], labels: Sequence[str]) -> None:
    assert photos.paths is not None
    assert photos.masks is not None
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    (folder / "classes.txt").write_text("\n".join(labels) + "\n")
    for row in rows:
        photo = photos.paths[row].resolve()
        (folder / "images" / photo.name).symlink_to(photo)
        with Image.open(photo) as image:
            mask = Image.fromarray(photos.masks[row]).resize(image.size, Image.Resampling.NEAREST)
        mask.save(folder / "masks" / f"{photo.stem}.png")


def _right(results: list[Any], photos: Samples, labels: Sequence[str]) -> float:
    assert photos.labels is not None
    true = [labels[index] for index in photos.labels]
    return float(np.mean([each["label"] == label for each, label in zip(results, true, strict=True)]))


def _overlap(results: list[Any], photos: Samples, _: Sequence[str]) -> float:
    assert photos.boxes is not None
    boxes = np.asarray([list(each["box_normalized"].values()) for each in results], np.float32)
    return float(measures.box_overlaps(boxes, photos.boxes).mean())


def _mask_overlap(results: list[Any], photos: Samples, labels: Sequence[str]) -> float:
    """The mean over classes of intersection by union of all pixels."""
    assert photos.masks is not None
    counts = np.zeros((len(labels), len(labels)), np.int64)
    for each, mask in zip(results, photos.masks, strict=True):
        found = Image.open(io.BytesIO(base64.b64decode(each["mask"]["data"])))
        answer, true = (
            np.asarray(image.resize((SIDE, SIDE), Image.Resampling.NEAREST)).astype(int)
            for image in (found, Image.fromarray(mask))
        )
        counts += np.bincount((true * len(labels) + answer).ravel(), minlength=counts.size).reshape(
            counts.shape
        )
    both = np.diagonal(counts)
    return float((both / (counts.sum(axis=0) + counts.sum(axis=1) - both)).mean())


JOBS = {
    "breeds": Job("classification", "/classify", _class_folders, _right, "accuracy"),
    "heads": Job("localization", "/localize", _boxes, _overlap, "mean IoU"),
    "masks": Job("segmentation", "/segment", _masks, _mask_overlap, "mean IoU"),
}


def chosen(name: str, pool: Samples, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the rows that somebody has, and some of those kept aside."""
    chance = np.random.default_rng(seed)
    if name != "breeds":
        rows = chance.permutation(len(pool))
        return rows[:OF_ALL], rows[OF_ALL : OF_ALL + ASIDE]
    assert pool.labels is not None
    # Other breeds for each seed.
    breeds = np.random.default_rng(0).permutation(np.unique(pool.labels))[BREEDS * seed :][:BREEDS]
    photos = [chance.permutation(np.flatnonzero(pool.labels == breed)) for breed in breeds]
    own, aside = ([each[part] for each in photos] for part in (slice(OF_EACH), slice(OF_EACH, None)))
    return np.concatenate(own), np.concatenate(aside)


def pool_of(job: Job, data_dir: Path) -> tuple[Samples, tuple[str, ...]]:
    """Return all photos of the data set with their labels."""
    target = "breed" if job.task == "classification" else ""
    source = SOURCES["oxford-iiit-pet"]
    splits = source.load(data_dir / source.name, Request(job.task, SIDE, SIDE, 3, target=target))
    parts = (splits.train, splits.validation, splits.test)
    kept: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("images", "labels", "boxes", "masks")
        if getattr(splits.train, name) is not None
    }
    return Samples(**kept, paths=sum(((part.paths or ()) for part in parts), ())), splits.labels


def live(url: str, path: str, photo: Path) -> bool:
    """Whether the only model of its task answers a photo."""
    return httpx.post(url + path, content=photo.read_bytes(), timeout=60).status_code == 200


def ask(url: str, path: str, photos: Samples) -> list[Any]:
    """Return the answers for photos, 16 to a request."""
    assert photos.paths is not None
    results: list[Any] = []
    with httpx.Client(base_url=url, timeout=120) as client:
        for start in range(0, len(photos), 16):
            files = [("file", each.read_bytes()) for each in photos.paths[start : start + 16]]
            response = client.post(path, files=files)
            response.raise_for_status()
            results += response.json()["results"]
    return results


def once(job: Job, folder: Path, aside: Samples, labels: Sequence[str], words: Sequence[str]) -> Any:
    """Train and export in a process of its own beside a service; return (seconds until live, figure)."""
    assert aside.paths is not None
    with tempfile.TemporaryDirectory() as home:
        models, said = Path(home) / "models", Path(home) / "said.txt"
        models.mkdir()
        places = ["--models-dir", str(models), "--runs-dir", f"{home}/runs"]
        command = [sys.executable, "-m", "training", "train", "--data", str(folder), "--export", *places]
        with running("striate", striate(models), "/livez") as server, said.open("w") as file:
            began = time.perf_counter()
            process = subprocess.Popen([*command, *words], stdout=file, stderr=subprocess.STDOUT)
            while not live(server.url, job.path, aside.paths[0]):
                if process.poll():
                    raise RuntimeError(said.read_text())
                time.sleep(0.2)
            seconds = time.perf_counter() - began
            figure = job.measure(ask(server.url, job.path, aside), aside, labels)
            process.wait()
            return seconds, figure


def main() -> None:
    """Measure each way for each seed, and print mean and spread."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--only", choices=[*JOBS], nargs="+", default=[*JOBS])
    parser.add_argument("--ways", choices=[*WAYS], nargs="+", default=[*WAYS])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=MINUTES, help="For training, but for quick.")
    options = parser.parse_args()
    for name in options.only:
        job = JOBS[name]
        pool, labels = pool_of(job, options.data_dir)
        found: dict[str, list[tuple[float, float]]] = {way: [] for way in options.ways}
        for seed in options.seeds:
            rows, others = chosen(name, pool, seed)
            with tempfile.TemporaryDirectory() as home:
                folder = Path(home) / name
                job.write(folder, pool, rows.tolist(), labels)
                for way in options.ways:
                    words = [*WAYS[way], "--seed", str(seed)]
                    if way != "quick":
                        words += ["--max-minutes", str(options.minutes)]
                    found[way].append(once(job, folder, pool.take(others), labels, words))
                    seconds, figure = found[way][-1]
                    print(
                        f"{name}, {way}, seed {seed}: live after {seconds:.1f} s, "
                        f"{job.figure} {figure:.4f} of {len(others)}",
                        flush=True,
                    )
        for way, pairs in found.items():
            times, figures = zip(*pairs, strict=True)
            spread = statistics.stdev(figures) if len(figures) > 1 else 0.0
            mean = statistics.mean(figures)
            print(f"{name}, {way}: {statistics.mean(times):.1f} s, {mean:.4f} ± {spread:.4f}", flush=True)


if __name__ == "__main__":
    main()
