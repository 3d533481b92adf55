"""Whether there is room for one more version."""

import threading

from service import memory


def test_more_than_there_is_does_not_fit() -> None:
    """(G9) A version that needs more memory than the host has is not loaded beside the live one."""
    free = memory.available()
    assert free is None or not memory.suffices(free)
    assert memory.suffices(0)


def test_giving_back_is_harmless() -> None:
    """Giving memory back can be done at any time."""
    memory.give_back()


def test_blocks_of_several_loads() -> None:
    """Loads that overlap keep the rule for one another, and blocks that were taken under it go back well."""
    inside, ended = threading.Event(), threading.Event()

    def load() -> None:
        with memory.in_blocks():
            inside.set()
            assert ended.wait(60)

    other = threading.Thread(target=load)
    other.start()
    assert inside.wait(60)
    with memory.in_blocks():
        kept = [bytearray(2**20) for _ in range(8)]
    ended.set()
    other.join()
    assert all(len(block) == 2**20 for block in kept)
    del kept
    memory.give_back()
