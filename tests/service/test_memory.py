"""Whether there is room for one more version."""

from service import memory


def test_more_than_there_is_does_not_fit() -> None:
    """(G9) A version that needs more memory than the host has is not loaded beside the live one."""
    free = memory.available()
    assert free is None or not memory.suffices(free)
    assert memory.suffices(0)


def test_giving_back_is_harmless() -> None:
    """Giving memory back can be done at any time."""
    memory.give_back()
