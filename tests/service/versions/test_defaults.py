"""Which model answers a request that names none."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from service.configuration.settings import Settings
from service.decoding.pool import Hands
from service.engines import Engine
from service.errors import ModelNotFound, NotReady, VersionNotFound
from service.inference.predictor import Predictor
from service.manifest import Task
from service.tasks.registry import TASKS
from service.telemetry.metrics import Metrics
from service.versions import defaults
from service.versions.repository import Live, Repository, Slot
from tests.service import making, wire
from tests.service.manifests import make_manifest
from tests.worlds import serving

World = Callable[..., Repository]


@pytest.fixture
def world() -> Iterator[World]:
    """Makes a repository, all loaded, of live models by their tasks."""
    settings = Settings()
    engine = Engine("openvino", "float32", lambda images, solo: {}, 1, 32, "one at a time")
    with Hands(settings) as hands:

        def make(**tasks: Task) -> Repository:
            found = Repository(Metrics())
            found.loading, found.complaint = False, ""
            for name, task in tasks.items():
                manifest = make_manifest().model_copy(update={"name": name, "task": task})
                predictor = Predictor(manifest, engine, settings, hands, Metrics())
                found.slots[name] = Slot(Live(predictor, []))
            return found

        yield make


def default(task: Task = "localization", **settings: str) -> defaults.Default:
    return defaults.of(Settings.model_validate(settings))[TASKS[task].face]


def answering(repository: Repository, which: defaults.Default) -> str:
    return defaults.find(repository, which, None, None).manifest.name


def test_the_only_model_of_a_task_is_its_default(world: World) -> None:
    """One's own localizer answers /localize without a word of settings, whatever else is live."""
    repository = world(mine="localization", digits="classification", fashion="classification")
    assert answering(repository, default()) == "mine"
    with pytest.raises(VersionNotFound):
        defaults.find(repository, default(), 7, None)


def test_the_model_of_the_setting_is_the_default(world: World) -> None:
    """What ships, or what was chosen, answers beside any number of others."""
    repository = world(**{"mine": "localization", "other": "localization", "pet-heads": "localization"})
    assert answering(repository, default()) == "pet-heads"
    assert answering(repository, default(default_localize="other")) == "other"


def test_a_model_of_all_objects_answers_for_one_of_one(world: World) -> None:
    """Both are asked at one path: the only one there is the default, and the setting may name either."""
    assert answering(world(cells="detection", digits="classification"), default()) == "cells"
    both = world(cells="detection", mine="localization")
    assert answering(both, default(default_localize="cells")) == "cells"
    with pytest.raises(ModelNotFound, match="live for localization or detection: cells, mine"):
        answering(both, default())


def test_among_several_one_has_to_be_named(world: World) -> None:
    """The error tells the default, the setting that changes it, and all that can be named."""
    repository = world(mine="localization", other="localization", digits="classification")
    with pytest.raises(ModelNotFound) as caught:
        answering(repository, default())
    assert caught.value.detail == (
        "No model was named, and the default for localization or detection, pet-heads, is not there "
        "(STRIATE_DEFAULT_LOCALIZE names another). Add ?model=NAME; live for localization or detection: "
        "mine, other."
    )


def test_where_no_model_does_the_task_it_is_said(world: World) -> None:
    """With what the live ones do."""
    with pytest.raises(
        ModelNotFound, match=r"No live model does segmentation; there are: mine \(localization\)"
    ):
        answering(world(mine="localization"), default("segmentation"))


def test_what_was_chosen_is_never_replaced(world: World) -> None:
    """A setting that names what is not there, or does something else, is told and not passed over."""
    repository = world(mine="localization", digits="classification")
    with pytest.raises(ModelNotFound, match=r"detection, mime, is not there \(STRIATE_DEFAULT_LOCALIZE"):
        answering(repository, default(default_localize="mime"))
    with pytest.raises(ModelNotFound, match="detection, digits, does classification"):
        answering(repository, default(default_localize="digits"))


def test_another_task_under_a_shipped_name_is_no_default(world: World) -> None:
    """One's own classifier named pet-heads leaves /localize to the only localizer."""
    repository = world(**{"pet-heads": "classification", "mine": "localization"})
    assert answering(repository, default()) == "mine"


@pytest.mark.parametrize(
    ("slot", "words"),
    [
        (Slot(refused={1: "a secret reason"}), "no version of it has passed its checks"),
        (Slot(waiting={1: "a secret reason"}), "is tried again"),
        (Slot(loading=1), "is still being loaded"),
        (Slot(on_disk=(1,)), "is not live yet"),
    ],
)
def test_a_default_that_is_not_live_is_503(world: World, slot: Slot, words: str) -> None:
    """Never another model in its place: with what keeps it, and the names that can be asked for."""
    repository = world(mine="localization")
    repository.slots["pet-heads"] = slot
    with pytest.raises(NotReady) as caught:
        answering(repository, default())
    assert words in caught.value.detail
    assert caught.value.detail.endswith("?model=NAME: mine.")
    assert "secret" not in caught.value.detail


def test_while_loading_nobody_is_the_only_one(world: World) -> None:
    """A model of the task may still come, so that the only one so far is not taken for the default."""
    repository = world(mine="localization")
    repository.loading, repository.complaint = True, "The models are still being loaded."
    with pytest.raises(NotReady, match="still being loaded"):
        answering(repository, default())


def test_one_model_of_ones_own_needs_no_setting(digits_dir: Path) -> None:
    """Over HTTP: the only classifier answers without a name; other tasks are 404, which says what to do."""
    with serving(digits_dir, engine="openvino") as server:
        answer = httpx.post(f"{server.url}/classify", files={"file": wire.PNG})
        nothing = httpx.post(f"{server.url}/localize", files={"file": wire.PNG})
    assert answer.json()["model"] == {"name": "digits", "version": 1}
    assert (nothing.status_code, nothing.json()["code"]) == (404, "model_not_found")
    assert "STRIATE_DEFAULT_LOCALIZE" in nothing.json()["detail"]
    assert "digits (classification)" in nothing.json()["detail"]


def test_a_default_in_quarantine_is_503_over_http(tmp_path: Path) -> None:
    """The shipped name with a version that fails its checks: told, with Retry-After, and not replaced."""
    making.first("digits", tmp_path)
    (tmp_path / "pets" / "1").mkdir(parents=True)
    (tmp_path / "pets" / "1" / "saved_model.pb").write_bytes(b"no model")
    with serving(tmp_path, engine="openvino") as server:
        refused = httpx.post(f"{server.url}/classify", files={"file": wire.PNG})
    assert (refused.status_code, refused.json()["code"]) == (503, "not_ready")
    assert refused.headers["retry-after"] == "2"
    assert "classification, pets, " in refused.json()["detail"]
