"""An exported version, changed afterwards: its baselines measured anew, or familiarity added in the next one.

Both read the data that the recipe in its manifest names.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service import manifest as contract
from training import export, golden, halves
from training.datasets import Splits
from training.datasets.reading import file_digest
from training.evaluation import evaluate, familiarity
from training.evaluation.familiarity import NAME
from training.fit import transfer
from training.fit.checkpoints import replace_text
from training.fit.runs import read_history
from training.recipes import defaults
from training.schema import Recipe
from training.tasks.registry import TASKS
from training.tasks.task import Outputs


class AmendError(Exception):
    """A version cannot be changed so. The text says why."""


def restate(folder: Path, data_dir: Path) -> evaluate.Evaluation:
    """Measure an exported version's baselines anew, and say what they mean; its own figures stay.

    The temperature is stated, too.

    Rewrites evaluation.json and manifest.json, with the digests. The recipe in the manifest names the data.
    """
    known, recipe, splits = _opened(folder, data_dir)
    extra = folder / contract.EXTRA
    measured = evaluate.revive(json.loads((extra / "evaluation.json").read_text("utf-8")))
    judged = evaluate.judged(measured, recipe, splits, known.labels, read_history(extra / "history.csv"))
    replace_text(extra / "evaluation.json", evaluate.as_text(judged, len(known.labels)))
    files = known.files | {f"{contract.EXTRA}/evaluation.json": file_digest(extra / "evaluation.json")}
    changed = {
        "format": contract.FORMAT,
        "evaluation": export.stated(judged),
        # What has no calibration is from before there was a temperature.
        "temperature": judged.details.get("calibration", {}).get("temperature", 1.0),
        "files": files,
    }
    text = known.model_copy(update=changed).model_dump_json(indent=1) + "\n"
    replace_text(contract.manifest_path(folder), text)
    return judged


def _opened(
    folder: Path, data_dir: Path, data: Path | None = None
) -> tuple[contract.Manifest, Recipe, Splits]:
    """Return a version's manifest, its recipe, and its data; AmendError where the data has other labels."""
    known = contract.Manifest.model_validate_json(contract.manifest_path(folder).read_text("utf-8"))
    recipe = defaults.moved(Recipe.model_validate(known.recipe), data)
    splits = recipe.load(data_dir)
    if splits.labels != known.labels:
        raise AmendError(f"{folder} answers {known.labels}, but its data in {data_dir} has {splits.labels}.")
    return known, recipe, splits


def add_familiarity(folder: Path, data_dir: Path, data: Path | None = None) -> tuple[Path, list[str]]:
    """Write the next version of a model: the same network, which also tells how familiar an image is.

    Returns its folder, and what there is to tell, in sentences. Weights, figures and golden samples stay what
    they are, and these are answered anew; AmendError where the network that this package builds does not
    answer them as before. `data` says where a folder of one's own lies now.
    """
    known, recipe, splits = _opened(folder, data_dir, data)
    model, rule = transfer.of_version(folder), recipe.input.normalisation
    learned = familiarity.learn(model, rule, splits)
    if learned is None:
        raise AmendError(
            f"{recipe.name} has {len(splits.validation)} validation images: of fewer than "
            f"{familiarity.FEWEST}, a share says too little."
        )
    told = familiarity.measure(learned, model, rule, splits.test, "test")
    encoded, before = _goldens(folder, known)
    tensors = golden.tensors(encoded, recipe.input, recipe.input.channels)
    with export.next_version(folder.parent) as (work, version):
        answers = export.save(model, familiarity.added(model, learned), recipe, work, tensors)
        _check(folder, before, answers)
        extra = work / contract.EXTRA
        extra.mkdir(exist_ok=True)
        data_of = {sample.name: sample.data for sample in encoded}
        export.write_golden(contract.golden_path(work), data_of, answers, TASKS[recipe.task].golden_bytes)
        for name in ("history.csv", "curves.png"):
            shutil.copy(folder / contract.EXTRA / name, extra / name)
        evaluation = json.loads((folder / contract.EXTRA / "evaluation.json").read_text("utf-8"))
        evaluation["details"][NAME] = told
        text = evaluate.as_text(evaluate.revive(evaluation), len(known.labels))
        (extra / "evaluation.json").write_text(text, "utf-8")
        tolerance = familiarity.tolerance(answers[NAME])
        manifest = _with_familiarity(known, told, tolerance, version, export.digests(work))
        contract.manifest_path(work).write_text(manifest.model_dump_json(indent=1) + "\n", "utf-8")
    return folder.parent / str(version), [familiarity.describe(told), *_changes(known, splits)]


def _goldens(folder: Path, known: contract.Manifest) -> tuple[list[golden.Golden], Outputs]:
    """Return a version's golden samples, without their pixels, and its answers for them."""
    nothing = np.empty((0, 0, 3), np.uint8)
    with np.load(contract.golden_path(folder), allow_pickle=False) as kept:
        names = map(str, kept["names"])
        encoded = [golden.Golden(name, kept[f"data_{n}"].tobytes(), nothing) for n, name in enumerate(names)]
        answers = {one.name: kept[f"answer_{one.name}"] for one in known.outputs if one.name != NAME}
    return encoded, {name: _widened(rows) for name, rows in answers.items()}


def _widened(rows: NDArray[Any]) -> NDArray[np.float32]:
    """Return probabilities as float32; uint8 counts steps of 1/255."""
    return rows.astype(np.float32) / np.float32(255 if rows.dtype == np.uint8 else 1)


def _check(folder: Path, before: Outputs, answers: Outputs) -> None:
    """Raise AmendError where half of the samples are answered otherwise: that is another network. A single
    one may be, which is decoded better than when the version was exported.
    """
    for name, rows in before.items():
        apart = np.abs(answers[name] - rows).reshape(len(rows), -1).max(axis=1)
        difference = float(np.median(apart))
        if not difference <= halves.LIMIT:
            raise AmendError(
                f"What this package builds of {folder} answers {name} of its golden samples otherwise, by "
                f"{difference:.2g}: export its run anew."
            )


def _with_familiarity(
    known: contract.Manifest, told: dict[str, Any], tolerance: float, version: int, files: dict[str, str]
) -> contract.Manifest:
    others = tuple(output for output in known.outputs if output.name != NAME)
    changed = {
        "format": contract.FORMAT,
        "version": version,
        "outputs": (*others, contract.Output(name=NAME, shape=(), meaning=familiarity.MEANING)),
        "familiarity": contract.Familiarity.model_validate(told),
        "tolerance": known.tolerance.model_copy(update={NAME: tolerance}),
        "created": export.now(),
        "packages": export.packages(),
        "files": files,
    }
    return contract.Manifest.model_validate(known.model_copy(update=changed).model_dump())


def _changes(known: contract.Manifest, splits: Splits) -> list[str]:
    """Return what is to be told where the data is not what it was."""
    count, before = len(splits.test), known.evaluation.count
    if count == before:
        return []
    return [
        f"Note: its data has {count:,} test images now, and had {before:,} when the version was measured. "
        f"Familiarity is of the data as it is now; all other figures are as they were."
    ]
