"""A finished run -> a version in `models/`: a plain SavedModel with its manifest and golden samples."""

import logging
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from service import manifest as contract
from training import golden, halves
from training.datasets import SOURCES
from training.datasets.reading import file_digest
from training.evaluation import chosen, evaluate, familiarity
from training.fit.runs import Run, check_place, read_history
from training.inputs.normalisation import normalise
from training.reports import report, summary
from training.schema import Recipe
from training.tasks import heads
from training.tasks.registry import TASKS
from training.tasks.task import Outputs

log = logging.getLogger("training")

AGREEMENT = 1e-4
"""Largest difference allowed between any output of the SavedModel and of Keras."""

_TOLERANCE = {"scores": 0.03, "box": 0.02, "mask": 0.01}
"""How far a served answer may be off, where the task does not say otherwise of its answers."""

_NORMALISATIONS = {
    "unit": "pixels / 255",
    "light-on-dark": "pixels / 255; then 1 - x where the border's mean is over 0.5: dark on light reads too",
}


class ExportError(Exception):
    """The version could not be made, or its answers differ from Keras's."""


def export(run: Run, models_dir: Path) -> Path:
    """Write the next version of the run's model and return its folder."""
    evaluation = _evaluation(run)
    home = models_dir / run.recipe.name
    check_place(run.recipe, home, "--models-dir")
    home.mkdir(parents=True, exist_ok=True)
    with next_version(home) as (work, version):
        model = evaluate.calibrated(run)
        goldens = golden.samples(run.recipe.golden)
        tensors = golden.tensors(goldens, run.recipe.input, run.recipe.input.channels)
        difference = TASKS[run.recipe.task].difference
        halves.settle(model, lambda: answered(model, run.recipe, tensors), difference)
        served = familiarity.added(model, familiarity.read(run.folder))
        answers = save(model, served, run.recipe, work, tensors)
        extra = work / contract.EXTRA
        extra.mkdir(exist_ok=True)
        data = {sample.name: sample.data for sample in goldens}
        write_golden(contract.golden_path(work), data, answers, TASKS[run.recipe.task].golden_bytes)
        shutil.copy(run.folder / "history.csv", extra / "history.csv")
        shutil.copy(run.folder / "evaluation.json", extra / "evaluation.json")
        monitor = heads.monitor(run.recipe, read_history(run.folder / "history.csv"))
        report.draw_curves(run.folder / "history.csv", monitor, extra / "curves.png")
        manifest = _manifest(run, model, evaluation, work, version, answers)
        contract.manifest_path(work).write_text(manifest.model_dump_json(indent=1) + "\n", "utf-8")
    return home / str(version)


@contextmanager
def next_version(home: Path) -> Iterator[tuple[Path, int]]:
    """Give a hidden folder in a model's own, and the number that it gets when all has been written into it.

    It is renamed into place then, so that a reader never sees half of it; nothing half-made stays behind.
    """
    version = 1 + max((int(path.name) for path in home.iterdir() if path.name.isdecimal()), default=0)
    work = Path(tempfile.mkdtemp(prefix=".export-", dir=home))
    try:
        yield work, version
        _make_readable(work)
        work.rename(home / str(version))
    except BaseException:  # interrupted too
        shutil.rmtree(work, ignore_errors=True)
        raise
    log.info("%s version %d: %s", home.name, version, home / str(version))


def _evaluation(run: Run) -> evaluate.Evaluation:
    """Return the run's evaluation, where all that exporting needs is there."""
    if keras.backend.backend() != "tensorflow":
        raise ExportError(f"Export needs TensorFlow: run it without KERAS_BACKEND={keras.backend.backend()}.")
    evaluation = evaluate.read(run)
    if evaluation is None:
        raise ExportError(f"{run.folder} is not evaluated yet: run `evaluate` on it first.")
    return evaluation


def answered(model: keras.Model, recipe: Recipe, images: NDArray[np.uint8]) -> Outputs:
    """Return the model's outputs for images `[N, H, W, C]` at its own size."""
    outputs = heads.answer(model, recipe, normalise(images, recipe.input.normalisation))
    return {name: np.asarray(rows) for name, rows in outputs.items()}


def save(
    model: keras.Model, served: keras.Model, recipe: Recipe, folder: Path, tensors: NDArray[np.uint8]
) -> Outputs:
    """Write a SavedModel with the outputs of `served`, a model over the variables of `model`, in whose order
    they are kept; return the outputs for `tensors`. ExportError where what was written computes others.
    """
    _save(model, served, recipe, folder)
    _compare(folder, served, recipe, tensors)
    return answered(served, recipe, tensors)


def _save(model: keras.Model, served: keras.Model, recipe: Recipe, folder: Path) -> None:
    height, width, channels = recipe.input.shape
    rule = recipe.input.normalisation
    weights = halves.Kept(model)

    # Not an attribute of what is saved: the graph would be written twice.
    @tf.function(input_signature=[tf.TensorSpec([None, height, width, channels], tf.uint8, name="image")])  # type: ignore[untyped-decorator]
    def serve(image: Any) -> Any:
        states = weights.states(model, served)
        outputs, _ = served.stateless_call(*states, normalise(image, rule), training=False)
        return TASKS[recipe.task].answer(outputs, recipe.training)

    options = tf.saved_model.SaveOptions(save_debug_info=False)
    signature = {"serving_default": serve.get_concrete_function()}
    tf.saved_model.save(weights, str(folder), signatures=signature, options=options)


def _compare(folder: Path, model: keras.Model, recipe: Recipe, goldens: NDArray[np.uint8]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, goldens.shape, np.uint8)
    images = np.concatenate([goldens, noise])
    expected = answered(model, recipe, images)
    found = tf.saved_model.load(str(folder)).signatures["serving_default"](image=tf.constant(images))
    saved = {name: found[name].numpy() for name in expected}
    for name, difference in TASKS[recipe.task].difference(expected, saved).items():
        if not difference <= AGREEMENT:
            raise ExportError(
                f"The SavedModel's {name} differs from Keras's by {difference:.2g}, more than {AGREEMENT:g}."
            )


def write_golden(
    path: Path, encoded: Mapping[str, bytes], answers: Outputs, golden_bytes: Collection[str]
) -> None:
    """Write golden.npz: encoded samples by their names, and the answers for them."""
    arrays: dict[str, Any] = {"names": np.asarray(list(encoded))}
    for index, data in enumerate(encoded.values()):
        arrays[f"data_{index}"] = np.frombuffer(data, np.uint8)
    for name, rows in answers.items():
        kept = (rows * 255).round().astype(np.uint8) if name in golden_bytes else rows
        arrays[f"answer_{name}"] = kept
    np.savez_compressed(path, **arrays)


def _manifest(
    run: Run,
    model: keras.Model,
    evaluation: evaluate.Evaluation,
    folder: Path,
    version: int,
    answers: Outputs,
) -> contract.Manifest:
    recipe, task = run.recipe, TASKS[run.recipe.task]
    source = SOURCES[recipe.dataset]
    rows = summary.explain(model)
    told = evaluation.details.get(familiarity.NAME) if familiarity.NAME in answers else None
    meanings = {**task.outputs, familiarity.NAME: familiarity.MEANING}
    parameters = sum(row.parameters for row in rows)
    trainable = sum(row.trainable_parameters for row in rows)
    return contract.Manifest(
        format=contract.FORMAT,
        name=recipe.name,
        version=version,
        task=cast("contract.Task", task.served or task.name),
        description=recipe.description,
        architecture=recipe.architecture,
        input=contract.Input(
            height=recipe.input.height,
            width=recipe.input.width,
            channels=recipe.input.channels,
            colour="grey" if recipe.input.channels == 1 else "rgb",
            resize=recipe.input.resize,
            crop_share=recipe.input.crop_share,
            overlap=recipe.input.overlap,
            normalisation=_NORMALISATIONS[recipe.input.normalisation],
        ),
        outputs=tuple(
            contract.Output(name=name, shape=rows.shape[1:], meaning=meanings[name])
            for name, rows in answers.items()
        ),
        labels=run.labels,
        groups=run.groups,
        threshold=chosen.threshold(run),
        label_thresholds=chosen.label_thresholds(run),
        detection=contract.Detection(max_objects=len(answers["boxes"][0])) if "boxes" in answers else None,
        temperature=chosen.temperature(run),
        layers=tuple(_layer(row, task.label_output, chosen.temperature(run)) for row in rows),
        totals=contract.Totals(
            parameters=parameters,
            trainable=trainable,
            non_trainable=parameters - trainable,
            multiply_adds=sum(row.multiply_adds for row in rows),
        ),
        evaluation=stated(evaluation),
        familiarity=told and contract.Familiarity.model_validate(told),
        recipe=_told_of(recipe),
        data=contract.Data(
            name=source.name,
            title=source.title,
            licence=recipe.licence or source.licence,
            homepage=source.homepage,
            split_rule=source.split_rule,
        ),
        tolerance=contract.Tolerance(
            **(_TOLERANCE | task.tolerance(answers)),
            familiarity=familiarity.tolerance(answers[familiarity.NAME]) if told else None,
        ),
        created=now(),
        packages=packages(),
        files=digests(folder),
    )


def stated(evaluation: evaluate.Evaluation) -> contract.Evaluation:
    """Return what the manifest says of an evaluation."""
    return contract.Evaluation(
        split=evaluation.split,
        count=evaluation.count,
        headline=evaluation.headline,
        figures=evaluation.figures,
        per_class=evaluation.per_class,
        baselines={
            name: contract.Baseline(value=each.value, answer=each.answer)
            for name, each in evaluation.baselines.items()
        },
        remarks=tuple(evaluation.remarks),
    )


def _told_of(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe without paths: where somebody keeps their files is nobody else's business."""
    weights = Path(recipe.transfer.weights)
    # Of a version the number alone says nothing.
    kept = "/".join(weights.parts[-2:]) if weights.name.isdecimal() else weights.name
    transfer = recipe.transfer.model_copy(update={"weights": kept})
    return recipe.model_copy(update={"data": Path(recipe.data).name, "transfer": transfer}).model_dump()


def _layer(row: summary.Row, label_output: str, temperature: float) -> contract.Layer:
    """Return the row for the manifest; the head's says what calibration did to it."""
    layer = contract.Layer(**asdict(row))
    if row.name != label_output or not row.parameters or temperature == 1:
        return layer
    words = f" Its weights are divided by the temperature {temperature:.3f}, fitted on validation images."
    return layer.model_copy(update={"note": layer.note + words})


def now() -> datetime:
    """Return when a version is created."""
    return datetime.now(UTC).replace(microsecond=0)


def packages() -> dict[str, str]:
    """Return the versions of the packages that made it."""
    return {name: metadata.version(name) for name in ("tensorflow", "keras", "numpy", "pillow")}


def digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file below the folder, by its path there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in files}


def _make_readable(folder: Path) -> None:
    """Undo mkdtemp's privacy: the service may run as another user."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
