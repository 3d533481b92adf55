"""Whether there is room for one more version, and what goes back when one is dropped."""

import json
import platform
import subprocess
import sys

import pytest

from service import memory


def test_more_than_there_is_does_not_fit() -> None:
    """(G9) A version that needs more memory than the host has is not loaded beside the live one."""
    free = memory.available()
    assert free is None or not memory.suffices(free)
    assert memory.suffices(0)


DROPPING = """
import json, os
from pathlib import Path
from service import memory

def resident():
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")

def blocks():
    return [bytes([number % 251 + 1]) * 2**18 for number in range(200)]

# As in a process that has served: since a large block was freed, glibc has smaller ones from its heaps.
large = b"x" * 2**24
del large
with memory.in_blocks():
    with memory.in_blocks():
        pass
    loaded = blocks()
    before = resident()
    del loaded[::2]
    at_once = before - resident()
asked = blocks()
before = resident()
del asked[::2]
between = before - resident()
memory.give_back()
print(json.dumps([at_once, between, before - resident()]))
"""
"""A process of its own: what is free in the heaps of this one would be taken first."""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libraries have no such parameter")
def test_what_a_load_drops_is_gone_at_once() -> None:
    """While a version is loaded, what lies between blocks that stay goes back to the system; for requests,
    which want it again, it does not, until memory is given back. Loads that overlap keep the rule for one
    another.
    """
    said = subprocess.run([sys.executable, "-c", DROPPING], capture_output=True, text=True, check=True)
    at_once, between, given_back = json.loads(said.stdout)
    half = 100 * 2**18
    assert at_once > 0.9 * half
    assert between < 0.1 * half
    assert given_back > 0.9 * half
