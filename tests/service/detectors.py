"""A model that finds objects without having learnt it: each is one pixel, which says what is to be answered.

Its red is the score (of 255), its green the label's index, its blue the side of the square around it. The
graph is a detector's all the same: peaks by max pooling, the best of them, and what lies at their places.
"""

import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from service.manifest import golden_path, manifest_path
from tests.images import encode
from tests.service.making import digest, edit
from tests.service.manifests import make_fields, make_input

SIDE = 128
MOST = 300
LABELS = ("red cell", "white cell", "platelet")


class Spot(NamedTuple):
    """An object: where its pixel is, and what is answered for it."""

    x: int
    y: int
    side: int = 9
    label: int = 0
    score: int = 200

    @property
    def box(self) -> tuple[float, float, float, float]:
        """In pixels."""
        half = self.side / 2
        return self.x + 0.5 - half, self.y + 0.5 - half, self.x + 0.5 + half, self.y + 0.5 + half


def picture(spots: Sequence[Spot], size: tuple[int, int] = (SIDE, SIDE)) -> bytes:
    """Draw objects; a PNG, as any other format would change the pixels."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    for spot in spots:
        pixels[spot.y, spot.x] = spot.score, spot.label, spot.side
    return encode(Image.fromarray(pixels), "PNG")


SAMPLES = {
    "none": picture([]),
    "several": picture([Spot(20, 30), Spot(60, 31, 15, 1, 250), Spot(100, 90, 7, 2, 90)]),
    "ties": picture([Spot(x, y, 7, (x + y) % 3) for x in range(5, 125, 9) for y in range(5, 125, 9)]),
}


def add_detectors(home: Path) -> None:
    """Put two into a folder of models: `cells` for whole images, and `slides`, the same for tiles."""
    _add_detector(home, "cells")
    shutil.copytree(home / "cells", home / "slides")
    spec = make_input(SIDE, SIDE, 3, "tile", overlap=32)
    edit(home / "slides" / "1", name="slides", input=spec.model_dump())


def _add_detector(home: Path, name: str) -> None:
    import tensorflow as tf

    class Peaks(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=[tf.TensorSpec((None, SIDE, SIDE, 3), tf.uint8, name="image")])  # type: ignore[untyped-decorator]
        def serve(self, image: Any) -> dict[str, Any]:
            heat, label, side = tf.unstack(tf.cast(image, tf.float32), axis=-1)
            pooled = tf.nn.max_pool2d(heat[..., None], 3, 1, "SAME")[..., 0]
            peaks = tf.where(heat < pooled, 0.0, heat)
            scores, places = tf.math.top_k(tf.reshape(peaks, (-1, SIDE * SIDE)), MOST)

            def there(values: Any) -> Any:
                return tf.gather(tf.reshape(values, (-1, SIDE * SIDE)), places, batch_dims=1)

            centre = tf.cast(tf.stack([places % SIDE, places // SIDE], axis=-1), tf.float32) + 0.5
            half = there(side)[..., None] / 2
            boxes = tf.concat([centre - half, centre + half], axis=-1) / SIDE
            return {
                "boxes": tf.clip_by_value(boxes, 0.0, 1.0),
                "scores": scores / 255,
                "labels": there(label),
            }

    folder = home / name / "1"
    module = Peaks()
    tf.saved_model.save(module, folder, signatures={"serving_default": module.serve})
    pixels = [np.asarray(Image.open(io.BytesIO(data))) for data in SAMPLES.values()]
    answers = {output: values.numpy() for output, values in module.serve(np.stack(pixels)).items()}
    golden_path(folder).parent.mkdir(exist_ok=True)
    members: dict[str, Any] = {f"answer_{output}": values for output, values in answers.items()}
    members |= {f"data_{n}": np.frombuffer(data, np.uint8) for n, data in enumerate(SAMPLES.values())}
    np.savez_compressed(golden_path(folder), names=np.asarray(list(SAMPLES)), **members)
    files = (path for path in folder.rglob("*") if path.is_file())
    fields = make_fields(
        format=3,
        name=name,
        version=1,
        task="detection",
        threshold=0.5,
        labels=LABELS,
        detection={"max_objects": MOST},
        input=make_input(SIDE, SIDE).model_dump(),
        files={path.relative_to(folder).as_posix(): digest(path) for path in files},
    )
    manifest_path(folder).write_text(json.dumps(fields))
