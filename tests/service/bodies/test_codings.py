"""Bodies in a content coding: the bytes that went in, an error, and never more memory than allowed."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.bodies import codings
from service.errors import CodingNotTaken, MalformedBody, PayloadTooLarge

MOST = 20 * 2**20


async def undone(body: bytes, most: int = MOST) -> bytes:
    return bytes(await codings.inflated(body, most, lambda _: None))


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@given(data=st.binary(max_size=600_000) | st.integers(0, 2**20).map(bytes))
async def test_what_was_coded_comes_back(coding: codings.Coding, data: bytes) -> None:
    """Any bytes, of lengths around those that are taken and given in one go, come back as they were."""
    assert await undone(codings.coded(data, coding)) == data


@pytest.mark.parametrize("size", [2**18 - 1, 2**18, 2**18 + 1, 2**19])
async def test_nothing_is_left_inside(size: int) -> None:
    """What fills a piece exactly comes out whole: zlib may hold bytes back though it has read all."""
    assert await undone(zlib.compress(bytes(size))) == bytes(size)


async def test_members_of_gzip_are_joined() -> None:
    """Files of gzip one behind the other are one; more of them than anybody sends are refused."""
    assert await undone(gzip.compress(b"one") + gzip.compress(b"two")) == b"onetwo"
    with pytest.raises(MalformedBody, match="16 gzip members"):
        await undone(gzip.compress(b"") * 1000)


async def test_a_bomb_is_stopped_at_the_limit() -> None:
    """200 MiB of zeros in 200 kB are given up as soon as they pass the limit, whatever was allowed before."""
    taken: list[int] = []
    with pytest.raises(PayloadTooLarge, match="20,971,520"):
        await codings.inflated(gzip.compress(bytes(200 * 2**20), 1), MOST, taken.append)
    assert max(taken) <= MOST


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"no coding at all", "neither gzip nor zlib"),
        (zlib.compress(b"raw deflate" * 9)[2:-4], "neither gzip nor zlib"),
        (gzip.compress(b"cut short" * 99, mtime=0)[:-9], "cut short"),
        (gzip.compress(b"damaged" * 99, mtime=0)[:-8] + bytes(8), "damaged"),
        (gzip.compress(b"a", mtime=0) + b"rest", "neither gzip nor zlib"),
    ],
)
async def test_what_is_no_coding_is_named(body: bytes, text: str) -> None:
    """Raw deflate, damage, a missing end and what stands behind it are errors, none a wrong body."""
    with pytest.raises(MalformedBody, match=text):
        await undone(body)


def test_codings_are_named_in_any_case() -> None:
    """gzip, x-gzip, deflate and identity; one alone is a wish for the answer, a list of many is none."""
    assert [codings.named(text) for text in (None, "identity", "GZIP", "x-gzip", " deflate ")] == [
        *("identity", "identity", "gzip", "gzip", "deflate")
    ]
    with pytest.raises(CodingNotTaken) as refused:
        codings.named("br")
    assert refused.value.headers() == {"Accept-Encoding": "gzip, deflate"}
    assert codings.wished("gzip") == "gzip"
    assert {codings.wished(text) for text in ("gzip, deflate, br", "br", "", None, "*")} == {"identity"}
