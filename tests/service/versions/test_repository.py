"""Which models there are: what is said while they load, and of what is not there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.configuration.settings import Settings
from service.decoding.pool import Hands
from service.engines import Engine
from service.errors import ModelNotFound, NotReady, VersionNotFound, WrongTask
from service.inference.predictor import Predictor
from service.telemetry.metrics import Metrics
from service.versions.repository import Live, Repository, Slot
from service.versions.watcher import Watcher
from tests.service.manifests import make_manifest


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    """A repository in the middle of loading: one model, shapes, is live already."""
    settings = Settings(models_dir=tmp_path)
    engine = Engine("openvino", "float32", lambda images, solo: {}, 1, 32, "one at a time")
    with Hands(settings) as hands:
        found = Repository(Metrics())
        predictor = Predictor(make_manifest(), engine, settings, hands, Metrics())
        found.slots["shapes"] = Slot(Live(predictor, []))
        yield found


def test_while_loading_what_is_not_there_yet_is_not_ready(repository: Repository) -> None:
    """A model that may still come is 503, not 404; one that is live already is found."""
    with pytest.raises(NotReady):
        repository.find("pets", None, None)
    assert repository.find("shapes", None, None).manifest.name == "shapes"


def test_after_loading_what_is_not_there_is_not_found(repository: Repository) -> None:
    """Once all is loaded, an unknown name is 404 and the names that exist are told."""
    repository.loading = False
    with pytest.raises(ModelNotFound, match="shapes"):
        repository.find("pets", None, None)
    with pytest.raises(VersionNotFound, match="2"):
        repository.find("shapes", 7, None)
    with pytest.raises(WrongTask, match="classification"):
        repository.find("shapes", None, ["segmentation"])


@pytest.mark.parametrize("name", ["../shapes", "shapes/2", "/etc/passwd", "", "shapes\0", "SHAPES"])
def test_a_name_is_looked_up_and_never_a_path(repository: Repository, name: str) -> None:
    """(E11) What is no live model's name is not found, whatever it would be as a path."""
    repository.loading = False
    with pytest.raises(ModelNotFound):
        repository.find(name, None, None)


def test_an_empty_folder_ends_the_loading_with_its_reason(tmp_path: Path) -> None:
    """Without models the loading ends, and the complaint says what belongs into the folder."""
    with Hands(Settings()) as hands:
        found = Repository(Metrics())
        Watcher(Settings(models_dir=tmp_path), found, hands, Metrics()).load()
    assert not found.loading
    assert not found.ready
    assert "<name>/<version>/" in found.complaint
