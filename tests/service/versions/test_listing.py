"""What counts as a version in the folder of models, and what is said of the rest."""

import logging
from pathlib import Path

import pytest

from service.versions.listing import Listing
from tests import worlds


def test_only_whole_numbers_are_versions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """(G12, G19) Other names and files are passed over with one warning each; exports with none."""
    home = tmp_path / "models" / "digits"
    for name in ("1", "20", "007", "1a", "-1", "0", ".tmp", "1" * 20, ".export-x"):
        (home / name).mkdir(parents=True)
    (home / "3").touch()
    (home / "model.keras").touch()
    (home / "policy.json").touch()
    listing = Listing(tmp_path / "models")
    with caplog.at_level(logging.WARNING):
        assert listing.scan() == {"digits": {1: home / "1", 20: home / "20"}}
        assert listing.scan() == {"digits": {1: home / "1", 20: home / "20"}}
    warned = sorted(line.split("'")[1].rpartition("/")[2] for line in worlds.logged(caplog, "service"))
    assert warned == sorted(["007", "1a", "-1", "0", ".tmp", "1" * 20, "3", "model.keras"])


def test_strange_models_are_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """(G4) A link and an impossible name are no models; a folder that all may write to is warned of, once."""
    models = tmp_path / "models"
    (models / "digits" / "1").mkdir(parents=True)
    (models / "a b" / "1").mkdir(parents=True)
    (models / "linked").symlink_to(models / "digits")
    (models / "digits" / "1").chmod(0o777)
    listing = Listing(models)
    with caplog.at_level(logging.WARNING):
        assert listing.scan().keys() == listing.scan().keys() == {"digits"}
    warned = worlds.logged(caplog, "service")
    assert len(warned) == 3
    assert sum("written to by everybody" in line for line in warned) == 1


def test_a_link_within_the_models_folder_is_a_version(tmp_path: Path) -> None:
    """A version may be a link to a folder in the models' folder, and is what it leads to; one that leads out
    of it, nowhere or in a circle stays a link, which is refused.
    """
    models = tmp_path / "models"
    store = models / "digits" / ".store" / "a"
    store.mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for number, target in enumerate((".store/a", str(store), "1", "../../elsewhere", "gone", "6"), start=1):
        (models / "digits" / str(number)).symlink_to(target)
    linked = {number: models / "digits" / str(number) for number in (4, 5, 6)}
    assert Listing(models).scan() == {"digits": {1: store, 2: store, 3: store, **linked}}


@pytest.mark.parametrize(
    "name", [".DS_Store", "._1", "Thumbs.db", ".nfs000000000001", "@eaDir", "lost+found"]
)
def test_what_systems_leave_is_not_worth_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """What a file manager, a file system or a NAS leaves beside models and versions is not warned of."""
    models = tmp_path / "models"
    (models / "digits" / "1").mkdir(parents=True)
    (models / name).mkdir()
    (models / "digits" / name).touch()
    with caplog.at_level(logging.WARNING):
        assert Listing(models).scan() == {"digits": {1: models / "digits" / "1"}}
    assert not worlds.logged(caplog, "service")


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """(G15) Nothing is taken for gone where the folder of models cannot be read."""
    with pytest.raises(OSError, match="No such file"):
        Listing(tmp_path / "models").scan()
