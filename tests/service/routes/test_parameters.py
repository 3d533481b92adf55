"""Parameters: the query becomes options, or an error that says what would be right."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from starlette.requests import Request

from service.errors import ParameterError
from service.options import ClassifyOptions, LocalizeOptions, SegmentOptions
from service.routes.parameters import describe, parse


def asked(query: str) -> Request:
    return Request({"type": "http", "method": "POST", "headers": [], "query_string": query.encode()})


def test_nothing_asked_gives_the_defaults() -> None:
    """Without a query the options are the defaults."""
    assert parse(asked(""), ClassifyOptions) == ClassifyOptions()


def test_query_becomes_options() -> None:
    """Every parameter is read into its type."""
    options = parse(asked("mask=rle&instances=true&threshold=0.25&model=pets&version=3"), SegmentOptions)
    assert options == SegmentOptions(mask="rle", instances=True, threshold=0.25, model="pets", version=3)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("top_k=0", "top_k"),
        ("top_k=1001", "top_k"),
        ("top_k=", "top_k"),
        ("top_k=five", "top_k"),
        ("top_k=1.5", "top_k"),
        ("top_k=" + "9" * 5000, "top_k"),
        ("threshold=1.1", "threshold"),
        ("threshold=-0.1", "threshold"),
        ("threshold=nan", "threshold"),
        ("threshold=inf", "threshold"),
        ("version=0", "version"),
        ("model=" + "a" * 65, "model"),
        ("model=%00&version=x", "version"),
    ],
)
def test_wrong_values_are_named(query: str, names: str) -> None:
    """A value out of range or of another type is refused, and the parameter is named."""
    with pytest.raises(ParameterError, match=f"^{names}: "):
        parse(asked(query), ClassifyOptions)


def test_all_faults_are_told_at_once() -> None:
    """Several wrong parameters are named in one answer."""
    with pytest.raises(ParameterError, match=r"version: .* top_k: "):
        parse(asked("top_k=0&version=0"), ClassifyOptions)


KNOWN = "There are: model, version, label, threshold, top_k."


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("mask=rle", f"'mask' is no parameter here. {KNOWN}"),
        ("Top_k=5", f"'Top_k' is no parameter here. Did you mean top_k? {KNOWN}"),
        ("topk=5", f"'topk' is no parameter here. Did you mean top_k? {KNOWN}"),
        ("treshold=5", f"'treshold' is no parameter here. Did you mean threshold? {KNOWN}"),
        ("evil", f"'evil' is no parameter here. {KNOWN}"),
        ("a=1&models=2", f"'a', 'models' are no parameters here. Did you mean model? {KNOWN}"),
        ("a=1&b=2&c=3&d=4&e=5", f"'a', 'b', 'c', ... are no parameters here. {KNOWN}"),
        ("%E2%80%AE%3Cb%3E%0A=1", f"'\\u202e\\x3cb\\x3e\\x0a' is no parameter here. {KNOWN}"),
        ("a" * 5000 + "=1", f"'{'a' * 40}...' is no parameter here. {KNOWN}"),
    ],
)
def test_unknown_parameters_are_named(query: str, detail: str) -> None:
    """A parameter that does not exist is named, cut and harmless, with the nearest and all that do exist."""
    with pytest.raises(ParameterError) as caught:
        parse(asked(query), ClassifyOptions)
    assert caught.value.detail == detail


@pytest.mark.parametrize(
    ("query", "name"), [("top_k=5&top_k=5", "top_k"), ("model=a&top_k=1&top_k=2", "top_k"), ("x=1&x=2", "x")]
)
def test_repeated_parameters_are_refused(query: str, name: str) -> None:
    """A parameter given twice is named and refused instead of one of the two being taken."""
    with pytest.raises(ParameterError, match=f"'{name}' is given more than once"):
        parse(asked(query), ClassifyOptions)


OPTIONS: list[type[BaseModel]] = [ClassifyOptions, LocalizeOptions, SegmentOptions]


@given(name=st.text(min_size=1), value=st.text(), options=st.sampled_from(OPTIONS))
def test_no_error_repeats_the_query(name: str, value: str, options: type[BaseModel]) -> None:
    """Whatever the query says, it is read or refused with a ParameterError that quotes no value of it."""
    query = f"{quote(name, errors='ignore')}=1&threshold=%3Cevil%3E{quote(value, errors='ignore')}"
    with pytest.raises(ParameterError) as caught:
        parse(asked(query), options)
    assert "evil" not in caught.value.detail


@pytest.mark.parametrize("options", OPTIONS)
def test_every_option_is_described(options: type[BaseModel]) -> None:
    """OpenAPI gets each option as an optional query parameter with a schema and a description."""
    described = describe(options)
    assert [each["name"] for each in described] == list(options.model_fields)
    for each in described:
        assert (each["in"], each["required"]) == ("query", False)
        assert each["description"]
        assert "description" not in each["schema"]
        assert "$ref" not in str(each["schema"])
