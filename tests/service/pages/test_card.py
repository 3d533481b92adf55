"""A model's page: what it tells of which manifest, and that nothing of it becomes markup."""

import asyncio
import gc
import hashlib
import json
import math
import shutil
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.configuration.settings import Settings
from service.decoding.pool import Hands
from service.engines import Engine
from service.inference.predictor import Predictor
from service.manifest import Manifest, manifest_path
from service.pages import card, catalogue, records, rendering
from service.pages.shelf import Shelf
from service.telemetry.metrics import Metrics
from service.versions.policy import Policy
from service.versions.repository import Live, Slot
from tests.service import making
from tests.service.manifests import make_fields, make_manifest, with_familiarity

BIN = ("low", "count", "confidence", "accuracy")
EVIL = "<img src=x onerror=alert('&\"')>"


@pytest.fixture
def hands() -> Iterator[Hands]:
    with Hands(Settings()) as hands:
        yield hands


def alive(hands: Hands, manifest: Manifest, folder: Path = Path("/nowhere")) -> Live:
    engine = Engine("openvino", "float32", lambda images, solo: {}, 1, 32, "one at a time")
    return Live(Predictor(manifest, engine, Settings(), hands, Metrics()), [], 0.0, folder)


def page(slot: Slot, live: Live, *, reasons: bool = True) -> str:
    common = {"root": "/below", "docs": True, "release": "1", "locked": False, "page": "model"}
    versions = card.versions(slot, reasons=reasons)
    beside = records.read(live)
    samples = catalogue.addresses(live.predictor.manifest, "/below", len(beside.samples))
    told = card.card(live, beside) | {"versions": versions, "measurable": reasons, "samples": samples}
    return rendering.render("model.html", **common, **told)


def test_a_manifest_alone_makes_a_page(hands: Hands) -> None:
    """Where nothing lies beside it there is no chart, and every other part."""
    live = alive(hands, make_manifest())
    text = page(Slot(live=live), live)
    for part in (
        "Tells which one of 3 labels",
        "disc, box, star",
        "(410 + 1) * 3 = 1,233",
        "accuracy 0.9950",
    ):
        assert part in text
    assert 'href="/below/models"' in text
    for absent in ('class="chart"', "Sample answers", "Confusion"):
        assert absent not in text


def test_no_text_of_a_manifest_becomes_markup(hands: Hands) -> None:
    """Labels, descriptions, figures, layers, data, recipe and reasons stay text."""
    fields = make_fields()
    texts = ("name", "type", "parameters_explained", "output_explained", "note")
    manifest = make_manifest(
        description=EVIL,
        architecture=EVIL,
        labels=(EVIL, "b", "c"),
        layers=[fields["layers"][0] | dict.fromkeys(texts, EVIL)],
        data=dict.fromkeys(fields["data"], EVIL),
        recipe={EVIL: {"a": EVIL}},
        evaluation=fields["evaluation"]
        | {"headline": EVIL, "figures": {EVIL: 1.0}, "split": EVIL, "per_class": {EVIL: {"f1": 0.5}}}
        | {"baselines": {EVIL: {"value": 0.5, "answer": EVIL}}, "remarks": (EVIL,)},
    )
    live = alive(hands, manifest)
    text = page(Slot(live=live, refused={1: EVIL}, policy=Policy()), live)
    assert "<img" not in text
    assert text.count("&lt;img src=x onerror=alert(") > 15


def test_what_makes_no_sense_is_left_out(hands: Hands, tmp_path: Path) -> None:
    """Of a manifest that is served, and of what was measured: the rest of the page is there."""
    fields = make_fields()
    evaluation = fields["evaluation"] | {
        "headline": "iou",
        "baselines": {"dice": {"value": 0.5, "answer": "all"}},
        "per_class": {"disc": {"f1": 0.5, "count": math.nan}, "box": {"f1": math.nan}},
    }
    sizes = [(8, 8, 3), (-1, -1, -1), (), (None,)]
    layers = [fields["layers"][0] | {"name": str(at), "output_shape": size} for at, size in enumerate(sizes)]
    details = {
        "confusion": [[math.nan, 1], [0, 1]],
        "calibration": {"before": {"ece": 0.1}, "after": {"ece": 0.1, "bins": [dict.fromkeys(BIN, -1)]}},
        "overlaps": {"counts": [-1, 2]},
        "precision_recall": {"disc": [math.inf, 0.5]},
        "intervals": {"accuracy": [0.25, 0.75]},
    }
    folder = tmp_path / "assets.extra"
    folder.mkdir()
    (folder / "evaluation.json").write_text(json.dumps({"details": details}))
    digest = hashlib.sha256((folder / "evaluation.json").read_bytes()).hexdigest()
    files = fields["files"] | {"assets.extra/evaluation.json": digest}
    live = alive(hands, make_manifest(evaluation=evaluation, layers=layers, files=files), tmp_path)
    assert records.read(live).record == records.Record(intervals={"accuracy": (0.25, 0.75)})
    text = page(Slot(live=live), live)
    assert "0.250 to 0.750" in text
    assert "iou was not measured" in text
    assert '<th scope="row">disc</th>' in text
    assert "nan" not in text


def test_versions_are_told_with_their_states(hands: Hands) -> None:
    """The same that clients of other servers are told, with the reasons for those who may know them."""
    live, other = alive(hands, make_manifest()), alive(hands, make_manifest(version=3))
    slot = Slot(
        live=live,
        loaded={2: live, 3: other},
        refused={1: "saved_model.pb is missing.", 3: "It was changed."},
        on_disk=(1, 2, 3, 4, 5, 6),
        loading=5,
        draining=[6],
        policy=Policy.model_validate({"labels": {"stable": 2, "canary": 4}}),
    )
    found = [(each.number, each.state, each.labels) for each in card.versions(slot, reasons=True)]
    assert found == [
        (6, "draining", ()),
        (5, "loading", ()),
        (4, "available", ("canary",)),
        (3, "standby", ()),
        (2, "live", ("stable",)),
        (1, "refused", ()),
    ]
    for reason in ("saved_model.pb is missing.", "It was changed."):
        assert reason in page(slot, live)
        assert reason not in page(slot, live, reasons=False)


def test_a_setting_of_nought_is_one() -> None:
    """A seed of 0 and a dropout of 0.0 are told, what is off or empty is not."""
    recipe = {"seed": 0, "model": {"dropout": 0.0, "depth": None, "wide": False, "names": []}, "on": True}
    assert card.flat(recipe) == [("seed", "0"), ("model: dropout", "0.0"), ("on", "True")]


@pytest.mark.parametrize(
    ("changes", "purpose", "limit"),
    [
        ({}, "Tells which one of 3 labels an image shows.", "it does not tell which they are"),
        (with_familiarity(), "Tells which one of 3 labels", "their familiarity is below 0.01"),
        ({"label_thresholds": (0.1, 0.2, 0.3)}, "none, one or several", "it does not tell"),
        ({"task": "localization"}, "and the box around it", "it gives one box"),
        ({"task": "detection"}, "Finds every object of 3 labels", "it does not tell"),
        ({"task": "segmentation"}, "Tells of every pixel", "it does not tell"),
    ],
)
def test_each_task_says_what_it_is_for(changes: dict[str, Any], purpose: str, limit: str) -> None:
    """And what it is not for, as far as the manifest knows."""
    manifest = make_manifest(**changes)
    assert purpose in card.purpose(manifest)
    assert limit in " ".join(card.limits(manifest))


def test_weak_labels_come_first() -> None:
    """By the first figure that is known, with the number that it was measured on."""
    per_class = {"a": {"f1": 0.9, "count": 4.0}, "b": {"f1": 0.2, "count": 7.0}, "c": {"precision": 0.1}}
    assert card.weak(per_class) == ([("b", 0.2, 7), ("a", 0.9, 4)], "f1")
    assert card.weak({}) == ([], "")


def test_every_shipped_model_has_its_page(hands: Hands) -> None:
    """With intervals, confusion, calibration, curves and samples, as far as they were measured."""
    for home in making.MODELS.iterdir():
        folder = making.shipped(home.name)
        manifest = Manifest.model_validate_json(manifest_path(folder).read_bytes())
        live = alive(hands, manifest, folder)
        text = page(Slot(live=live), live)
        details = json.loads((folder / "assets.extra" / "evaluation.json").read_text())["details"]
        assert ("Confusion" in text) == ("confusion" in details)
        assert ("Can scores be believed?" in text) == ("calibration" in details)
        assert ("Precision over recall" in text) == ("precision_recall" in details)
        assert ("How well boxes fit" in text) == ("overlaps" in details)
        for low, high in details.get("intervals", {}).values():
            assert f"{low:.3f} to {high:.3f}" in text
        assert f"{manifest.totals.parameters:,}" in text
        assert f'/below/models/{home.name}/samples/0?version={manifest.version}"' in text
        assert text.count("<tr") >= len(manifest.layers)


def test_what_is_not_as_exported_is_not_shown(hands: Hands, tmp_path: Path) -> None:
    """A file that was changed after the version was loaded counts as missing."""
    folder = tmp_path / "1"
    shutil.copytree(making.shipped("fashion"), folder)
    manifest = Manifest.model_validate_json(manifest_path(folder).read_bytes())
    assert records.read(alive(hands, manifest, folder)).record.confusion
    for name in ("evaluation.json", "history.csv", "golden.npz"):
        path = folder / "assets.extra" / name
        path.write_bytes(path.read_bytes() + b" ")
    live = alive(hands, manifest, folder)
    assert records.read(live) == records.Beside(records.Record(), {}, (), whole=True)


async def test_a_version_is_read_once_and_what_failed_again(hands: Hands, tmp_path: Path) -> None:
    """However many ask at once; what could not be read is tried again; the version is not held by it."""
    folder = tmp_path / "1"
    shutil.copytree(making.shipped("fashion"), folder)
    manifest = Manifest.model_validate_json(manifest_path(folder).read_bytes())
    golden, away = folder / "assets.extra" / "golden.npz", tmp_path / "golden.npz"
    shelf, live = Shelf(), alive(hands, manifest, folder)
    golden.rename(away)
    assert (await shelf.of(live)).samples == ()
    away.rename(golden)
    kept, *others = await asyncio.gather(*(shelf.of(live) for _ in range(5)))
    assert len(kept.samples) == records.SAMPLES
    assert all(each is kept for each in others)
    shutil.rmtree(folder)
    assert await shelf.of(live) is kept
    gone = weakref.ref(live.predictor)
    del kept, others, live
    gc.collect()
    assert gone() is None
