"""Answers as they are written out."""

from typing import Any

import numpy as np
import orjson
import pytest
from pydantic import TypeAdapter

from service.manifest import Manifest
from service.options import SegmentOptions
from service.schemas import Result, written
from service.tasks.registry import FACES, TASKS
from service.tasks.task import Row, Size
from tests.service.manifests import make_manifest, with_familiarity


def row(manifest: Manifest) -> Row:
    """Return a row of the manifest's model."""
    return {output.name: np.full(output.shape, 0.25, np.float32) for output in manifest.outputs}


def answer(manifest: Manifest) -> Result:
    """Answer with the row, without a mask's picture."""
    task = TASKS[manifest.task]
    options: Any = SegmentOptions(mask="none") if manifest.task == "segmentation" else task.face.options()
    return task.answer(row(manifest), manifest, options, Size(8, 6))


KEYS = {
    "classification": ["label", "score", "top"],
    "localization": ["label", "score", "box", "box_normalized", "width", "height"],
    "detection": ["label", "score", "box", "box_normalized", "objects", "counts", "width", "height"],
    "segmentation": ["width", "height", "classes", "mask", "instances", "instance_count"],
}


@pytest.mark.parametrize("task", list(TASKS))
def test_familiarity_comes_last_where_the_model_tells_it(task: str) -> None:
    """In the answers of every task, as the graph gives it."""
    told = orjson.loads(orjson.dumps(written(answer(make_manifest(**with_familiarity(task=task))))))
    assert list(told) == [*KEYS[task], "familiarity"]
    assert told["familiarity"] == 0.25
    TypeAdapter(Result).validate_python(told)


@pytest.mark.parametrize("task", list(TASKS))
def test_an_answer_without_familiarity_is_what_it_was(task: str) -> None:
    """Of a model that does not tell it, the field is left out: neither null nor a guess."""
    found = answer(make_manifest(task=task))
    told = orjson.loads(orjson.dumps(written(found)))
    assert list(told) == KEYS[task]
    with_null = orjson.loads(orjson.dumps(found))
    assert with_null == told | {"familiarity": None}


@pytest.mark.parametrize(("value", "told"), [(-1e-7, 0.0), (1.0000005, 1.0), (0.1234567, 0.123457)])
def test_familiarity_stays_within_0_and_1(value: float, told: float) -> None:
    """Rounding in an engine never makes it less or more; six digits are told."""
    manifest = make_manifest(**with_familiarity())
    task = TASKS["classification"]
    given = row(manifest) | {"familiarity": np.asarray(value, np.float32)}
    options: Any = task.face.options()
    assert task.answer(given, manifest, options, Size(1, 1)).familiarity == told


@pytest.mark.parametrize(("path", "name"), [(face.path, name) for face in FACES for name in face.examples])
def test_examples_of_answers_are_answers(path: str, name: str) -> None:
    """What the interface's documents show is what the face's own schema describes."""
    face = next(face for face in FACES if face.path == path)
    TypeAdapter(Result).validate_python(face.examples[name]["answer"])
    document = {"model": {"name": "m", "version": 1}, "results": [face.examples[name]["answer"]]}
    face.response.model_validate(document)
