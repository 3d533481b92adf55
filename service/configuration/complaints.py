"""What is wrong with the settings, in a sentence each; and names in the environment that are no settings."""

import difflib
import os
from collections.abc import Iterator
from typing import Any, get_args

from annotated_types import Ge, Gt, Le
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from service.configuration.environment import PREFIX, injected
from service.configuration.settings import Settings

_SHOWN = 60
"""Characters of a wrong value that are repeated."""


def of(error: ValidationError) -> list[str]:
    """Return a sentence for each wrong setting, and for each contradiction."""
    sentences: dict[str, str] = {}
    for each in error.errors():
        # One that could not be derived from a wrong one is not wrong itself.
        if each["type"] == "default_factory_not_called":
            continue
        if not each["loc"]:
            sentences[each["msg"]] = each["msg"].removeprefix("Value error, ")
            continue
        name = str(each["loc"][0]).replace("-", "_").lower()
        sentences.setdefault(name, _sentence(name, dict(each)))
    return [line for sentence in sentences.values() for line in sentence.splitlines()]


def _sentence(name: str, error: dict[str, Any]) -> str:
    field = Settings.model_fields.get(name)
    where = f"{PREFIX}{name.upper()} (--{name.replace('_', '-')})"
    if field is None:
        return f"{where} is no setting{_nearest(f'{PREFIX}{name}'.upper())}."
    given = str(error["input"])
    shown = repr(given if len(given) <= _SHOWN else f"{given[:_SHOWN]}...")
    if error["type"] == "value_error":
        return f"{where} is {shown}: {str(error['msg']).removeprefix('Value error, ')}."
    return f"{where} is {shown}: it must be {_right(field)}."


def _right(field: FieldInfo) -> str:
    """Say what a setting takes."""
    kind = field.annotation
    choices = [str(each) for each in get_args(kind) if isinstance(each, str)]
    if choices:
        return f"one of {', '.join(choices)}"
    if kind is bool:
        return "true or false"
    kinds = {kind, *get_args(kind)}
    what = "a whole number" if int in kinds else "a number" if float in kinds else "a text"
    return what + _bounds(field)


def _bounds(field: FieldInfo) -> str:
    least = next((each.ge for each in field.metadata if isinstance(each, Ge)), None)
    above = next((each.gt for each in field.metadata if isinstance(each, Gt)), None)
    most = next((each.le for each in field.metadata if isinstance(each, Le)), None)
    lower = f" from {least}" if least is not None else f" above {above}" if above is not None else ""
    if most is None:
        return f"{lower} up" if least is not None else lower
    return f"{lower} to {most}"


def unknown() -> Iterator[str]:
    """Give a sentence for each STRIATE_ variable of the environment that is no setting.

    Those that Kubernetes makes for a Service of that name are nobody's mistake.
    """
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    for name, value in sorted(os.environ.items()):
        if name.upper().startswith(PREFIX) and name.upper() not in known and not injected(name, value):
            yield f"{name} is no setting and is passed over{_nearest(name.upper())}"


def _nearest(name: str) -> str:
    known = [f"{PREFIX}{field.upper()}" for field in Settings.model_fields]
    found = difflib.get_close_matches(name, known, 1)
    return f"; the nearest is {found[0]}" if found else "; `python -m service --help` lists them all"
