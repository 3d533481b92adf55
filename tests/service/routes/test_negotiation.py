"""Negotiation: which representation a client wants."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from service.routes.negotiation import prefers

OFFERS = ("application/json", "text/plain", "text/html")
JSON, TEXT, HTML = OFFERS
CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


def preferred(*accept: str) -> str | None:
    headers = [(b"accept", each.encode("latin-1")) for each in accept]
    return prefers(Request({"type": "http", "headers": headers}), OFFERS)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/*", TEXT),
        ("text/html", HTML),
        ("TEXT/HTML", HTML),
        (CHROME, HTML),
        ("text/plain;q=0.5, text/html;q=0.4", TEXT),
        ("text/html;q=0.4, text/plain;q=0.5", TEXT),
        ("text/html ; q=0.9 , application/json;q=0.1", HTML),
        ("text/*;q=0.3, text/html;q=0.7, */*;q=0.5", HTML),
        ("*/*, application/json;q=0", TEXT),
        ("text/*, text/plain;q=0", HTML),
        ("text/html;level=1", HTML),
        ("text/html;level=1;q=0.1, text/plain;q=0.2", TEXT),
        ("application/json;q=0", None),
        ("image/png", None),
        ("application/xml, image/*", None),
        ("text", None),
        ("text/html;q=high", None),
        ("text/html;q=nan", None),
        ("text/html;q=-1", None),
        ("text/html;q=9", HTML),
        ("text/html;q=9, application/json", JSON),
        ("text/plain, application/json", JSON),
    ],
)
def test_the_best_liked_offer_is_taken(accept: str, expected: str | None) -> None:
    """Quality decides, a narrower range beats a wider one, and among equals the first offer is taken."""
    assert preferred(accept) == expected


def test_no_wish_takes_the_first_offer() -> None:
    """Without an Accept header, or with an empty one, everything is welcome."""
    assert preferred() == JSON
    assert preferred("") == JSON
    assert preferred(" , ") == JSON


def test_several_headers_count_as_one() -> None:
    """Accept may come in several lines, which mean the same as one list."""
    assert preferred("image/png", "text/html") == HTML


@given(accept=st.text(st.characters(max_codepoint=255)))
def test_any_header_is_read(accept: str) -> None:
    """No Accept header is too odd: an offer or none is the outcome."""
    assert preferred(accept) in {*OFFERS, None}
