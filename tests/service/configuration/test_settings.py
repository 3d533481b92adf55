"""Settings: the environment, read once, checked and frozen."""

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.configuration.settings import Settings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take every setting of the developer's own out of the environment."""
    for name in [name for name in os.environ if name.upper().startswith("STRIATE_")]:
        monkeypatch.delenv(name)


def test_defaults_are_valid_and_local() -> None:
    """Without an environment the service listens on this machine only and reads ./models."""
    settings = Settings()
    assert (settings.host, settings.models_dir) == ("127.0.0.1", Path("models"))
    assert settings.decode_threads >= 1
    assert Settings.model_validate(settings.model_dump()) == settings


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("port", "0", 0),
        ("models_dir", "/srv/models", Path("/srv/models")),
        ("engine", "openvino", "openvino"),
        ("max_pixels", "2048", 2048),
        ("max_images", "1", 1),
        ("log_level", "debug", "debug"),
        ("default_classify", "digits", "digits"),
    ],
)
def test_environment_sets(monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object) -> None:
    """STRIATE_<NAME> sets the setting of that name."""
    monkeypatch.setenv(f"STRIATE_{name.upper()}", text)
    assert getattr(Settings(), name) == value


def test_unprefixed_environment_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """PORT and HOST of the surroundings do not move the service."""
    monkeypatch.setenv("PORT", "1")
    monkeypatch.setenv("HOST", "0.0.0.0")
    assert (Settings().port, Settings().host) == (8000, "127.0.0.1")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("port", "65536"),
        ("port", "-1"),
        ("port", "http"),
        ("engine", "torch"),
        ("precision", "float16"),
        ("max_body_bytes", "1023"),
        ("max_pixels", str(2**28 + 1)),
        ("max_images", "0"),
        ("max_batch", "0"),
        ("max_queue", "0"),
        ("decode_threads", "0"),
        ("engine_threads", "0"),
        ("log_level", "loud"),
    ],
)
def test_wrong_values_stop_the_start(monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    """A value out of range is an error that names the setting, not a surprise later."""
    monkeypatch.setenv(f"STRIATE_{name.upper()}", text)
    with pytest.raises(ValidationError, match=name):
        Settings()


def test_settings_are_frozen() -> None:
    """Nobody can change a setting while the service runs."""
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]


def test_unknown_settings_are_refused() -> None:
    """A setting that does not exist is refused where it is given by name."""
    with pytest.raises(ValidationError, match="max_batches"):
        Settings.model_validate({"max_batches": 3})


def test_every_setting_is_explained() -> None:
    """Each setting has a sentence for the command line's help."""
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("jpeg", {"JPEG"}),
        ("JPG, png ,webp", {"JPEG", "PNG", "WEBP"}),
        ("tif,pgm,heif,", {"TIFF", "PPM", "HEIF"}),
        ("gif,bmp,avif,heic", {"GIF", "BMP", "AVIF", "HEIF"}),
    ],
)
def test_formats_narrow_what_is_read(text: str, kinds: set[str]) -> None:
    """Formats are given by their usual names, with commas, in any case."""
    assert Settings(formats=text).formats_taken == kinds


@pytest.mark.parametrize(
    ("text", "word"), [("jpeg,psd", "'psd' is none"), ("", "at least one"), (",", "at least")]
)
def test_unknown_formats_are_refused_at_the_start(text: str, word: str) -> None:
    """A format that nothing reads is no setting: the error names it, and those that are read."""
    with pytest.raises(ValidationError, match=word):
        Settings(formats=text)
