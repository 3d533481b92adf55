"""When a version that failed is tried again."""

from pathlib import Path
from typing import Any, Literal

import pytest

from service.configuration.settings import Settings
from service.errors import VersionRefused
from service.versions import integrity
from service.versions.quarantine import TRIES, Quarantine

Kind = Literal["lasting", "passing", "incomplete"]


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """A version's folder with one file."""
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_text("x")
    return tmp_path / "1"


def failed(version: Path, kind: Kind, **settings: Any) -> Quarantine:
    """Return a quarantine with that version in it."""
    quarantine = Quarantine(Settings(models_dir=version.parent, **settings))
    quarantine.add("shapes", 1, integrity.fingerprint(version), VersionRefused("So it is.", kind))
    return quarantine


@pytest.mark.parametrize("kind", ["lasting", "passing", "incomplete"])
def test_changed_files_end_it(version: Path, kind: Kind) -> None:
    """(G2) Whatever the reason was, a version whose files have changed is tried at once."""
    quarantine = failed(version, kind, load_retry_seconds=60)
    assert quarantine.bars("shapes", 1, version, patient=True)
    (version / "saved_model.pb").write_text("longer")
    assert not quarantine.bars("shapes", 1, version, patient=True)
    assert not quarantine.of("shapes")


def test_what_may_pass_is_tried_a_few_times(version: Path) -> None:
    """(G2) Tries are bounded, and after the last the version is refused."""
    quarantine = failed(version, "passing", load_retry_seconds=1e-9)
    for _ in range(TRIES - 1):
        assert not quarantine.bars("shapes", 1, version, patient=True)
        assert not quarantine.of("shapes")[1].final
        quarantine.add("shapes", 1, integrity.fingerprint(version), VersionRefused("So it is.", "passing"))
    assert quarantine.bars("shapes", 1, version, patient=True)
    assert quarantine.of("shapes")[1].final


def test_what_is_incomplete_is_waited_for(version: Path) -> None:
    """(G3) A copy in progress is no failure until nothing has changed for a while, or patience ends."""
    quarantine = failed(version, "incomplete", models_settle_seconds=60)
    assert quarantine.bars("shapes", 1, version, patient=True)
    assert not quarantine.of("shapes")[1].final
    quarantine.bars("shapes", 1, version, patient=False)
    assert quarantine.of("shapes")[1].final


def test_others_are_not_concerned(version: Path) -> None:
    """A failure is one version's alone, and can be forgotten."""
    quarantine = failed(version, "lasting")
    assert not quarantine.bars("shapes", 2, version, patient=True)
    assert not quarantine.bars("digits", 1, version, patient=True)
    quarantine.forget("shapes", {1})
    assert not quarantine.bars("shapes", 1, version, patient=True)
