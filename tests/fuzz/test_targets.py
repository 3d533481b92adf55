"""The fuzz targets work, and hold for what they start from and for a little damage to it."""

import importlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

TARGETS = (
    "decode",
    "headers",
    "json_body",
    "manifest",
    "multipart",
    "plain_png",
    "tensors",
    "tfs_body",
    "v2_request",
)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
@pytest.mark.parametrize("name", TARGETS)
def test_targets_hold(name: str) -> None:
    """(D11, D12) Seeds with flipped, missing and doubled bytes end as they should; the rest is atheris's."""
    target, seeds = importlib.import_module(f"tests.fuzz.{name}").load()

    @settings(max_examples=100, deadline=None, database=None)
    @given(seed=st.sampled_from(seeds), data=st.data())
    def hold(seed: bytes, data: st.DataObject) -> None:
        start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(seed))] * 2)))
        target(seed[:start] + data.draw(st.binary(max_size=4)) + seed[end:])
        target(seed[:end] + data.draw(st.binary(max_size=4)) + seed[start:])

    for seed in seeds:
        target(seed)
    hold()
